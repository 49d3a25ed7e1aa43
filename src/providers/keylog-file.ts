/**
 * The file of a key log. What is in it opens every connection that it is of, so it is its owner's
 * alone: made so, and refused where it is not. A key log that cannot be written disturbs nobody but
 * who wants to read it: he is warned, and connections go on.
 */
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'

const { O_APPEND, O_CREAT, O_NOFOLLOW = 0, O_NONBLOCK = 0, O_WRONLY } = constants
// No link that somebody else has put there is followed, and no pipe is waited for.
const flags = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK

/** Adds a line, with its line end. At once, as Node does it: what follows may be the last that this process does. */
export function appendToKeylog(file: string, line: Buffer): void {
  try {
    const descriptor = openSync(file, flags, 0o600)
    try {
      checkOwner(descriptor)
      writeSync(descriptor, line)
    } finally {
      closeSync(descriptor)
    }
    failed.delete(file)
  } catch (error) {
    warn(file, (error as Error).message)
  }
}

function checkOwner(descriptor: number): void {
  const { uid, mode, nlink } = fstatSync(descriptor)
  if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw new Error('it is no regular file')
  if (process.platform === 'win32') return
  if (uid !== process.geteuid?.()) throw new Error('it belongs to another user')
  if (nlink !== 1) throw new Error('it has other names')
  if ((mode & 0o077) !== 0) throw new Error('others may read or write it: chmod 600 it first')
}

/** The files of which the process was warned, and which have not been written to since. */
const failed = new Set<string>()

function warn(file: string, reason: string): void {
  if (failed.has(file)) return
  failed.add(file)
  process.emitWarning(`the key log ${JSON.stringify(file)} is not written: ${reason}`)
}
