import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { isatty } from 'node:tty'

/** How it has ended, for whoever waits for this process. */
export interface Ending {
  /** The exit code to end with. */
  readonly code: number
  /** Why it could not be started. */
  readonly message?: string
}

const EXIT_NOT_EXECUTABLE = 126
const EXIT_NOT_FOUND = 127

/** What a supervisor or another process sends to this one, and means for the program. */
const passedOn = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGTERM',
  'SIGUSR1',
  'SIGUSR2',
  'SIGWINCH',
  'SIGCONT',
] as const

/** A terminal sends these to all processes in its foreground: the program has had its own. */
const fromTerminal: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT', 'SIGWINCH']

/** The ends of a process that its parent tells apart from an exit code; those that dump core are not repeated. */
const repeated: readonly NodeJS.Signals[] = ['SIGHUP', 'SIGINT', 'SIGKILL', 'SIGTERM']

/** Runs a program in the place of this process, as far as one process can take the place of another. */
export async function runProgram(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<Ending> {
  // Before it is there: what comes while it is being started is passed on as soon as it is.
  const forget = passOn(signal => child.kill(signal))
  const child = spawn(program, args, { env, stdio: 'inherit' })
  return new Promise(resolve => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      forget()
      resolve(notStarted(program, error))
    })
    child.once('exit', (code, signal) => {
      forget()
      resolve({ code: signal === null ? (code ?? 0) : endBy(signal) })
    })
  })
}

/** @returns takes it back */
function passOn(send: (signal: NodeJS.Signals) => void): () => void {
  const sentByTerminal = [0, 1, 2].some(fd => isatty(fd))
  const handlers = passedOn.map(signal => {
    const ignored = sentByTerminal && fromTerminal.includes(signal)
    const handle = () => {
      if (!ignored) send(signal)
    }
    process.on(signal, handle)
    return () => process.off(signal, handle)
  })
  return () => {
    for (const forget of handlers) forget()
  }
}

/** Ends this process by the same signal; where that does not end it (the first process of a container), by a code. */
function endBy(signal: NodeJS.Signals): number {
  if (repeated.includes(signal)) process.kill(process.pid, signal)
  return 128 + constants.signals[signal]
}

function notStarted(program: string, { code, message }: NodeJS.ErrnoException): Ending {
  if (code === 'ENOENT') {
    const hint =
      process.platform === 'win32' ? `; for a .cmd file, such as npm: cmd /c ${program}` : ''
    return { code: EXIT_NOT_FOUND, message: `${program} was not found${hint}` }
  }
  return { code: EXIT_NOT_EXECUTABLE, message: `${program} could not be executed: ${message}` }
}
