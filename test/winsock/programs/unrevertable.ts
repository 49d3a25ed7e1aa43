/** Impersonates a peer where no revert works, in the main thread or in a worker; says what still runs. */
import { writeSync } from 'node:fs'
import { isMainThread, Worker } from 'node:worker_threads'
import { impersonatePeer } from '../../../src/providers/winsock/impersonation.js'
import { winsockDouble } from '../../support/winsock-double.js'
import { securedConnection } from '../sockets.js'

const say = (text: string) => writeSync(1, `${text}\n`)
process.on('exit', () => say('exit'))
process.on('uncaughtException', error => say(error.message))

if (isMainThread && process.argv[2] === 'worker') {
  const worker = new Worker(new URL(import.meta.url))
  worker.on('exit', () => say('the worker has ended'))
  worker.on('error', error => say(error.message))
} else {
  const target = await securedConnection({ teardown: () => {} })
  winsockDouble().behave('WSAImpersonateSocketPeer', { mode: 'succeed' })
  try {
    impersonatePeer(target, () => say('inside'))
    say('after')
  } finally {
    say('finally')
  }
}
