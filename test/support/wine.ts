/** Wine is not Windows: what a test says of the system itself can be otherwise there. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'

const isWine =
  process.platform === 'win32' &&
  existsSync(join(process.env.SystemRoot ?? 'C:\\windows', 'system32', 'winecfg.exe'))

/** The reason to skip a test under Wine, and false everywhere else. */
export function exceptUnderWine(reason: string): string | false {
  return isWine && `under Wine ${reason}`
}
