import { loadKoffi } from '../../lib/koffi.js'

let mallinfo:
  | (() => { readonly uordblks: number | bigint; readonly hblkhd: number | bigint })
  | undefined

/**
 * Bytes that malloc() has given, in heaps and mapped one by one, and free() has not had back; 0 where the C
 * library does not tell. What was freed and stays with the process is not in it, as it is in its resident size.
 */
export function allocated(): number {
  try {
    mallinfo ??= declareMallinfo()
    const { uordblks, hblkhd } = mallinfo()
    return Number(uordblks) + Number(hblkhd)
  } catch {
    return 0
  }
}

/** Gives back to the system what was freed, where the C library can: else the resident size is the most there ever was. */
export function giveBack(): void {
  try {
    trim ??= loadKoffi().load(null).func('int malloc_trim(size_t pad)') as (pad: number) => number
    trim(0)
  } catch {
    // It has no such function.
  }
}

let trim: ((pad: number) => number) | undefined

function declareMallinfo() {
  const koffi = loadKoffi()
  const fields = ['arena', 'ordblks', 'smblks', 'hblks', 'hblkhd', 'usmblks', 'fsmblks']
  const more = ['uordblks', 'fordblks', 'keepcost']
  koffi.struct(
    'mallinfo2_result',
    Object.fromEntries([...fields, ...more].map(name => [name, 'size_t'])),
  )
  return koffi.load(null).func('mallinfo2_result mallinfo2()') as never
}
