/**
 * The secrets of connections, for whoever asks for them: `security.keylog`, and Node's own option
 * `--tls-keylog`, which Node applies to streams by itself and knows nothing of datagrams.
 */
import { resolve } from 'node:path'
import type { ParsedSettings } from '../model/settings.js'
import { appendToKeylog } from './keylog-file.js'

type Keylog = Pick<ParsedSettings, 'keylog'>

/** What the lines of a stream go to, beside the event; Node has seen to its own option. */
export function logStream({ keylog }: Keylog, line: Buffer): void {
  if (typeof keylog === 'string') appendToKeylog(keylog, line)
}

/** Does anybody want the secrets of datagrams? */
export function wantsDatagramKeylog({ keylog }: Keylog): boolean {
  return keylog !== false || nodeKeylogFile !== undefined
}

/** What the lines of datagrams go to, beside the event. */
export function logDatagrams({ keylog }: Keylog, line: Buffer): void {
  if (typeof keylog === 'string') appendToKeylog(keylog, line)
  if (nodeKeylogFile !== undefined) appendToKeylog(nodeKeylogFile, line)
}

/** Whoever asks for the secrets is warned, once. */
let warned = false

export function warnOfKeylog(): void {
  if (warned) return
  warned = true
  process.emitWarning(
    'keylog is on: whoever has the lines of the key log can read every connection that they are of, also one that was recorded',
  )
}

const nodeKeylogFile = keylogOption(process.execArgv, process.env.NODE_OPTIONS)

/** The file of `--tls-keylog`, on the command line or else in NODE_OPTIONS. */
export function keylogOption(execArgv: readonly string[], nodeOptions = ''): string | undefined {
  const file = lastValue(execArgv) ?? lastValue(wordsOf(nodeOptions))
  return file && resolve(file)
}

/** As Node reads it: the last one counts, with `=` or a space, and underscores are hyphens. */
function lastValue(args: readonly string[]): string | undefined {
  let value: string | undefined
  args.forEach((arg, index) => {
    const [name, ...given] = arg.split('=')
    if (name?.replaceAll('_', '-') !== '--tls-keylog') return
    value = given.length === 0 ? args[index + 1] : given.join('=')
  })
  return value
}

/** As Node splits it: at spaces outside of double quotes, inside of which a backslash takes what follows as it is. */
function wordsOf(nodeOptions: string): string[] {
  const words = nodeOptions.match(/(?:"(?:\\.|[^"\\])*"?|[^ "])+/gs) ?? []
  const quoted = /"((?:\\.|[^"\\])*)"?/gs
  const unquoted = (_: string, text: string) => text.replace(/\\(.)/gs, '$1')
  return words.map(word => word.replace(quoted, unquoted))
}
