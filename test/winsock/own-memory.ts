/** Looks for bytes in all the memory that this process may write to. For Windows. */
import { type LibraryHandle, loadKoffi } from '../../lib/koffi.js'

/** winnt.h */
const MEM_COMMIT = 0x1000
const MEM_PRIVATE = 0x20000
const PAGE_READWRITE = 0x04
const PAGE_EXECUTE_READWRITE = 0x40

const chunkBytes = 1 << 20
/** Once for all: what is looked for may be garbage that the collector has not taken. */
const chunk = Buffer.alloc(chunkBytes)

/**
 * Are the bytes anywhere? What is looked for is in memory too, so it is given in two parts, which lie
 * beside each other nowhere but where they are found.
 */
export function isInMemory(first: Buffer, rest: Buffer): boolean {
  const { VirtualQuery, ReadProcessMemory } = calls()
  const region = Buffer.alloc(48)
  try {
    for (let at = 0; VirtualQuery(at, region, region.length) !== 0; ) {
      const start = Number(region.readBigUInt64LE(0))
      const end = start + Number(region.readBigUInt64LE(24))
      for (
        at = start;
        isWritable(region) && at < end;
        at += chunkBytes - first.length - rest.length
      ) {
        const read = [0]
        const wanted = Math.min(chunkBytes, end - at)
        if (ReadProcessMemory(-1, at, chunk, wanted, read) === 0) continue
        const found = chunk.subarray(0, read[0])
        for (let hit = found.indexOf(rest); hit >= 0; hit = found.indexOf(rest, hit + 1))
          if (found.subarray(0, hit).subarray(-first.length).equals(first)) return true
      }
      at = end
    }
    return false
  } finally {
    chunk.fill(0)
  }
}

/** Not the files that are mapped, nor what nobody has touched. */
function isWritable(region: Buffer): boolean {
  const [state, protection, type] = [32, 36, 40].map(offset => region.readUInt32LE(offset))
  const writable = protection === PAGE_READWRITE || protection === PAGE_EXECUTE_READWRITE
  return state === MEM_COMMIT && type === MEM_PRIVATE && writable
}

let declared: ReturnType<typeof declare> | undefined

function calls() {
  declared ??= declare()
  return declared
}

// biome-ignore format: a declaration a line
function declare() {
  const library = loadKoffi().load('kernel32.dll')
  return {
    VirtualQuery: library.func('size_t __stdcall VirtualQuery(intptr_t address, void *region, size_t bytes)'),
    ReadProcessMemory: library.func('int __stdcall ReadProcessMemory(intptr_t process, intptr_t from, void *to, size_t bytes, _Out_ size_t *read)'),
  }
}

/**
 * From now on looks at native memory before the library frees it. To be called before anything else
 * of the library is. Gives how many blocks were freed, and how many of them with something in them:
 * Wine overwrites what was freed, so that nobody could find it afterwards.
 */
export function watchFrees(): { all: number; dirty: number } {
  const koffi = loadKoffi()
  const { load } = koffi
  const HeapSize = load('kernel32.dll').func(
    'size_t __stdcall HeapSize(intptr_t heap, uint32_t flags, intptr_t address)',
  )
  const counts = { all: 0, dirty: 0 }
  koffi.load = (...given) => {
    const library = load(...given)
    const declare = (signature: string) => {
      const original = library.func(signature)
      if (!/\bHeapFree\b/.test(signature)) return original
      return (heap: number, flags: number, address: number) => {
        const content = Buffer.alloc(HeapSize(heap, 0, address) as number)
        calls().ReadProcessMemory(-1, address, content, content.length, [0])
        counts.all += 1
        if (content.some(byte => byte !== 0)) counts.dirty += 1
        return original(heap, flags, address)
      }
    }
    return { func: declare } as unknown as LibraryHandle
  }
  return counts
}
