/** What the kernel has of ESP, as its files tell without any privilege. */
import { existsSync, readFileSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'

/** `unknown` in a container, which has no modules of the kernel that it runs on. */
export type EspModule = 'loaded' | 'built in' | 'can be loaded' | 'not found' | 'unknown'

/** @param root where the file system begins */
export function espOf(root: string): { ipv4: EspModule; ipv6: EspModule } {
  return { ipv4: moduleOf(root, 'esp4', 'ipv4'), ipv6: moduleOf(root, 'esp6', 'ipv6') }
}

function moduleOf(root: string, name: string, family: string): EspModule {
  if (existsSync(join(root, 'sys/module', name))) return 'loaded'
  const modules = join(root, 'lib/modules', release())
  if (!existsSync(modules)) return 'unknown'
  const file = `kernel/net/${family}/${name}.ko`
  if (lists(join(modules, 'modules.builtin'), file)) return 'built in'
  if (lists(join(modules, 'modules.dep'), file)) return 'can be loaded'
  return 'not found'
}

/** Modules may be compressed: esp4.ko.xz. */
function lists(index: string, file: string): boolean {
  try {
    return readFileSync(index, 'utf8')
      .split('\n')
      .some(line => line.startsWith(file))
  } catch {
    return false
  }
}
