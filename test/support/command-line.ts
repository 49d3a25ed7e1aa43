import { secureSocket } from '../../src/cli/secure-socket.js'

/** Runs `secure-socket …` in this process and gives what it printed. */
export async function typed(
  ...args: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  const printed = { stdout: '', stderr: '' }
  const collector = (stream: keyof typeof printed) => ({
    write(text: string) {
      printed[stream] += text
    },
  })
  const code = await secureSocket(args, {
    stdout: collector('stdout'),
    stderr: collector('stderr'),
  })
  return { code, ...printed }
}
