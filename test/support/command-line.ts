import { Readable, Writable } from 'node:stream'
import { secureSocket } from '../../src/cli/secure-socket.js'

/** Runs `secure-socket …` in this process, with nothing to read, and gives what it printed. */
export async function typed(
  ...args: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const printed = { stdout: '', stderr: '' }
  const collector = (stream: keyof typeof printed) =>
    new Writable({
      write(chunk, _encoding, done) {
        printed[stream] += chunk
        done()
      },
    })
  const code = await secureSocket(args, {
    stdin: Readable.from([]),
    stdout: collector('stdout'),
    stderr: collector('stderr'),
  })
  return { code, ...printed }
}
