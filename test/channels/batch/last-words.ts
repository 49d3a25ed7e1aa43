/** `last-words PORT HOW`: sends two datagrams to 127.0.0.1 and ends in the same tick; `late`: the second one while it ends. */
import { openBatchSocket } from '../../../src/channels/batch/open-socket.js'
import { Outgoing } from '../../../src/channels/batch/outgoing.js'
import { commit } from './sending.js'

const [, , port, how] = process.argv
const host = { wantWritable() {}, failed() {}, drained() {} }
const outgoing = new Outgoing(openBatchSocket(4).descriptor, 4, host, true)
const to = { address: '127.0.0.1', port: Number(port), route: undefined }
commit(outgoing, `${how} 1`, to)
if (how === 'late') process.on('exit', () => commit(outgoing, `${how} 2`, to))
else commit(outgoing, `${how} 2`, to)
if (how === 'exit') process.exit()
if (how === 'exception') throw new Error('of the application')
