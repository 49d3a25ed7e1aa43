import { resolve } from 'node:path'
import { registeredEnvironment } from '../register/environment.js'
import { defineCommand } from './command.js'
import { runProgram } from './run/run-program.js'
import { usablePolicy } from './run/usable-policy.js'

const name = 'run'

/** As env, nice and nohup have it, so that it cannot be taken for the program's own. */
const EXIT_NOT_RUN = 125

const help = `secure-socket run: runs a program with its sockets secured, without changing it

Runs PROGRAM with secure-socket/register in NODE_OPTIONS, so that the sockets of Node are secured by
the administrator's policy: in PROGRAM itself, and in whatever Node it starts. It may be node, npm,
or a script of the shell; programs that are not Node's are not secured.

stdin, stdout and stderr are the program's. Signals are passed on to it (SIGHUP, SIGINT, SIGQUIT,
SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT); those that a terminal sends to both are not sent
twice. With a policy that is not valid nothing is run.

Usage:
  secure-socket run [options] -- PROGRAM [ARGUMENT …]

Options:
  --policy FILE     the policy, where the machine has none of its own; as SECURE_SOCKET_POLICY
  -h, --help

Exit codes:
  125  it could not be run: the policy is not valid, say; stderr says why
  126  PROGRAM could not be executed
  127  there is no PROGRAM
    2  the command line of "run" was wrong
  else the program's own. Where a signal ended it, the same signal ends this one if it is SIGHUP,
  SIGINT, SIGKILL or SIGTERM; for others it is 128 and the number of the signal

Examples:
  secure-socket run -- node app.js
  secure-socket run --policy ./policy.json -- npm start
`

/** `secure-socket run -- PROGRAM …` */
export const run = defineCommand({
  name,
  help,
  options: { policy: { type: 'string' } },
  operands: ['PROGRAM'],
  more: true,
  async run(values, [program = '', ...args], { stderr }) {
    let env: NodeJS.ProcessEnv
    try {
      const policy = usablePolicy(values.policy && resolve(values.policy))
      env = registeredEnvironment({ ...process.env, ...policy }) as NodeJS.ProcessEnv
    } catch (error) {
      stderr.write(`secure-socket: ${(error as Error).message}\n`)
      return EXIT_NOT_RUN
    }
    const { code, message } = await runProgram(program, args, env)
    if (message !== undefined) stderr.write(`secure-socket: ${message}\n`)
    return code
  },
})
