/**
 * examples/windows-check as a program, with the double as its Windows. After `both` come the client's
 * arguments, and its server is in this process too. `DOUBLE_BEHAVES` in the environment is JSON of what
 * the double's functions do; the processes that this one starts inherit it.
 */
import { limits } from '../../../examples/windows-check/calls.js'
import { main } from '../../../examples/windows-check/main.js'
import { server } from '../../../examples/windows-check/server.js'
import {
  type Behaviour,
  type WinsockFunction,
  winsockDouble,
} from '../../support/winsock-double.js'

const behaves = JSON.parse(process.env.DOUBLE_BEHAVES ?? '{}') as Record<string, Behaviour>
for (const [name, behaviour] of Object.entries(behaves))
  winsockDouble().behave(name as WinsockFunction, behaviour)
// What never completes is given up soon.
limits.call = 1000
limits.cancel = 200

const [role, ...args] = process.argv.slice(2)
if (role === 'both') {
  const port = await new Promise<string>((resolve, reject) => {
    server(0, line => {
      const waits = /on port (\d+)$/.exec(line)?.[1]
      if (waits) resolve(waits)
    }).catch(reject)
  })
  process.exitCode = await main(['client', '127.0.0.1', '--port', port, ...args])
} else {
  process.exitCode = await main(process.argv.slice(2))
}
