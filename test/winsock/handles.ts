/** How many handles of the system this process has: what is not closed shows here. */
import { loadKoffi } from '../../lib/koffi.js'

export function handles(): number {
  count ??= declare()
  const found = [0]
  if (count(-1, found) === 0) throw new Error('GetProcessHandleCount')
  return found[0] as number
}

let count: ReturnType<typeof declare> | undefined

function declare() {
  return loadKoffi()
    .load('C:\\windows\\system32\\kernel32.dll')
    .func('int __stdcall GetProcessHandleCount(intptr_t process, _Out_ uint32_t *count)') as (
    process: number,
    count: number[],
  ) => number
}
