/** What stays clear is decided by the policy that counts when somebody connects, also where it was decided before. */
import { readFileSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import t from 'tap'
import { built } from '../examples/built.js'
import { event } from '../support/events.js'
import { launch } from '../support/program.js'
import { root } from '../support/project-root.js'
import { policyFile, registerFile } from './registered.js'

t.before(built)

t.test(
  'a server and a client that were in clear are secured after another policy was read',
  async t => {
    const peer = net.createServer(socket => socket.on('error', () => {}))
    peer.listen(0, '127.0.0.1')
    await event(peer, 'listening')
    t.teardown(() => peer.close())
    const { port: peerPort } = peer.address() as net.AddressInfo
    const script = `
    const net = require('node:net')
    const { reloadPolicy } = require(${JSON.stringify(registerFile.replace('register', 'policy'))})
    const greet = () => net.connect(${peerPort}, '127.0.0.1').on('error', () => {}).end('in clear')
    const server = net.createServer(socket => { console.log('a connection'); socket.end('in clear') })
    server.listen(0, '127.0.0.1', () => console.log(server.address().port))
    server.on('tlsClientError', () => console.log('refused'))
    process.stdin.on('data', command => {
      if (String(command) === 'reload') reloadPolicy()
      greet()
    }).on('end', () => process.exit())`
    const policy = await policyFile(t, { clear: [{ loopback: true }] })
    const env = { SECURE_SOCKET_POLICY: policy, NODE_OPTIONS: undefined }
    const program = launch(t, process.execPath, ['--require', registerFile, '-e', script], {
      cwd: root,
      env,
    })
    const port = Number((await program.said(/^(\d+)$/m))[1])
    const heard = async (command: string) => {
      const connected = event(peer, 'connection')
      program.type(command)
      const [socket] = (await connected) as [net.Socket]
      const [chunk] = (await event(socket, 'data')) as [Buffer]
      socket.destroy()
      return chunk
    }

    t.equal(String(await heard('greet')), 'in clear')
    net.connect(port, '127.0.0.1').on('error', () => {})
    await program.said(/a connection/)

    const { clear: _clear, ...rest } = JSON.parse(readFileSync(policy, 'utf8'))
    writeFileSync(policy, JSON.stringify(rest))
    t.equal((await heard('reload'))[0], 22, 'a ClientHello')
    net
      .connect(port, '127.0.0.1')
      .on('error', () => {})
      .end('in clear')
    await program.said(/refused/)
    t.equal(program.output.match(/a connection/g)?.length, 1)
  },
)
