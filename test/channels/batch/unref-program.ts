/** `unref-program unref` ends by itself; `unref-program ref` does not. */
import { BatchChannel } from '../../../src/channels/batch/batch-channel.js'
import { adopted } from './sockets.js'

const [what] = process.argv.slice(2)
const { descriptor, socket } = await adopted({ teardown: () => {} })
const channel = new BatchChannel(descriptor, 4, {
  received: () => true,
  failed: () => {},
  drained: () => {},
})
channel.unref()
channel.start()
socket.unref()
if (what === 'ref') channel.ref()
console.log(what)
