import {
  type Command,
  defineGroup,
  EXIT_FAILED,
  EXIT_OK,
  EXIT_USAGE,
  type Terminal,
  UsageError,
} from './command.js'

const help = `secure-socket: sockets that are secured, and know their peer, before they carry a byte

Usage:
  secure-socket run -- node app.js   run a program with its sockets secured, without changing it
  secure-socket connect …            a secured connection for stdin and stdout
  secure-socket listen …             waits for one
  secure-socket identity …           make and inspect certificates: who a host is
  secure-socket policy …             check the administrator's policy
  secure-socket doctor               what works here, what is missing and how to get it
  secure-socket --version
  secure-socket --help, and every command has its own --help

Exit codes:
  0  done
  1  it failed; stderr says why
  2  the command line was wrong
  "run" ends as its program does

Set SECURE_SOCKET_DEBUG=1 to see where in the program an error arose.
`

const root: Command = defineGroup({
  name: '',
  help,
  commands: {
    run: async () => (await import('./run.js')).run,
    connect: async () => (await import('./connect.js')).connect,
    listen: async () => (await import('./listen.js')).listen,
    identity: async () => (await import('./identity.js')).identity,
    policy: async () => (await import('./policy.js')).policy,
    doctor: async () => (await import('./doctor.js')).doctor,
  },
})

/** Runs a command line, without the program's name, and resolves to its exit code. */
export async function secureSocket(args: string[], terminal: Terminal): Promise<number> {
  try {
    if (args[0] === '--version') {
      const { version } = await import('./version.js')
      terminal.stdout.write(`${version}\n`)
      return EXIT_OK
    }
    return await root.run(args, terminal)
  } catch (error) {
    return report(error as Error, terminal)
  }
}

function report(error: Error, { stderr }: Terminal): number {
  const debug = Boolean(process.env.SECURE_SOCKET_DEBUG)
  stderr.write(`secure-socket: ${error.message}\n`)
  if (debug) stderr.write(`${error.stack}\n`)
  if (!(error instanceof UsageError)) return EXIT_FAILED
  const command = ['secure-socket', error.command, '--help'].filter(Boolean).join(' ')
  stderr.write(`Help: ${command}\n`)
  return EXIT_USAGE
}
