/**
 * Several files as they were together at one moment. Whoever writes them may be at it while they are
 * read, and may swap a link to the folder of all of them.
 */
import { type BigIntStats, readFileSync, statSync } from 'node:fs'

export interface Snapshot {
  /** By path. */
  readonly contents: ReadonlyMap<string, Buffer>
  /** What tells these files from others: equal as long as nothing was written or swapped. */
  readonly stamp: string
  /** When the latest of them was written, in milliseconds since 1970. */
  readonly writtenAt: number
}

/** A list of revocations can be large, and whoever gives a disk image for a key is to be told. */
const LARGEST_FILE = 64n * 1024n * 1024n
const ATTEMPTS = 5

/**
 * Reads them, and again where they have changed meanwhile.
 * @param inspect told of each file before its contents are used; it throws where they may not be
 * @throws what the system says; Error where one is no file, or they change all the time
 */
export function takeSnapshot(
  paths: readonly string[],
  inspect: (path: string, stats: BigIntStats) => void = () => {},
): Snapshot {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const before = paths.map(stat)
    const contents = new Map(paths.map(path => [path, readFileSync(path)]))
    const stamp = stampOf(paths)
    if (stamp !== joined(before)) continue
    paths.forEach((path, index) => {
      inspect(path, before[index] as BigIntStats)
    })
    return { contents, stamp, writtenAt: Math.max(...before.map(writtenAt)) }
  }
  throw new Error('they are being written all the time')
}

/** The stamp of the files as they are now, also where some are missing. Costs a stat of each. */
export function stampOf(paths: readonly string[]): string {
  return joined(paths.map(path => statSync(path, { bigint: true, throwIfNoEntry: false })))
}

/** By the files themselves and not by the links to them: a link may be swapped above. */
function stat(path: string): BigIntStats {
  const stats = statSync(path, { bigint: true })
  // To read from a pipe or a terminal would stop the process until somebody writes.
  if (!stats.isFile()) throw new Error(`${path} is no file`)
  if (stats.size > LARGEST_FILE) throw new Error(`${path} has ${stats.size} bytes`)
  return stats
}

function joined(all: readonly (BigIntStats | undefined)[]): string {
  return all
    .map(stats => {
      if (stats === undefined) return 'missing'
      const { dev, ino, size, mtimeNs, ctimeNs } = stats
      return [dev, ino, size, mtimeNs, ctimeNs].join(':')
    })
    .join(' ')
}

/** The change of the inode counts too: a file that is moved here, or copied with its time, is new here. */
function writtenAt({ mtimeMs, ctimeMs }: BigIntStats): number {
  return Number(mtimeMs > ctimeMs ? mtimeMs : ctimeMs)
}
