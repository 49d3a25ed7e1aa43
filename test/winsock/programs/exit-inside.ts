/** Exits while it acts as a peer; says as whom it does then, and as whom a listener of 'exit' does. */
import { writeSync } from 'node:fs'
import { impersonatePeer } from '../../../src/providers/winsock/impersonation.js'
import { winsockDouble } from '../../support/winsock-double.js'
import { actingBy, securedConnection } from '../sockets.js'

const say = () => writeSync(1, actingBy() === '' ? 'the process\n' : 'the peer\n')
process.on('exit', say)
const target = await securedConnection({ teardown: () => {} })
winsockDouble().behave('WSAImpersonateSocketPeer', { mode: 'succeed' })
const exit = () => {
  say()
  process.exit(5)
}
impersonatePeer(target, () => {
  if (process.argv[2] === 'nested') impersonatePeer(target, exit)
  exit()
})
