/**
 * A client that reboots: it is killed without a word and starts again from the same port, where we
 * still hold the keys of its former life (RFC 6347, section 4.2.8).
 */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { requireProgram } from '../support/foreign-program.js'
import { strangerIdentity, testIdentity } from '../support/identities.js'
import type { Program } from '../support/program.js'
import { trust } from '../support/secured.js'
import { type Build, coapAnswer, coapClient, coapResponse } from './dtls-libcoap.js'
import { silencingRelay } from './dtls-relay.js'
import { at, type Listening, listening, sent } from './dtls-sockets.js'
import { files, ownDirectory } from './files.js'
import { gnutlsCli } from './gnutls.js'
import { sClient } from './openssl.js'

const skip = !requireProgram(t, 'openssl')
const save = files(t)
const { ca } = await trust()
const { cert, key } = await testIdentity()
const own = { cert, key, ca }
const known = await testIdentity(['client.example'])
const paths = save({ cert: known.cert, key: known.key, ca })

/** Clients that cannot be told from which port to speak: each says one word and ends. */
const others = {
  'gnutls-cli': {
    program: 'gnutls-cli',
    answer: (message: Buffer) => message,
    async start(t: Test, port: number, word: string) {
      const { cert, key } = paths
      const shown = ['--x509certfile', cert, '--x509keyfile', key]
      const trusting = ['--x509cafile', paths.ca, '--verify-hostname', 'localhost']
      const program = gnutlsCli(t, port, '--udp', ...shown, ...trusting)
      await program.said(/Simple Client Mode/)
      program.type(`${word}\n`)
      await program.said(new RegExp(`^${word}$`, 'm'))
      await program.stop()
    },
  },
  'coap-client-openssl': coapOf('openssl'),
  'coap-client-gnutls': coapOf('gnutls'),
}

t.test('it gets through again, and nobody else notices', { skip }, async t => {
  const us = await listening(t, own)
  us.socket.on('peerClose', () => t.fail('somebody was lost'))
  const witness = start(t, us, await shows('witness.example'))
  const witnessPort = await exchange(us, witness, 'before')

  let client = start(t, us, await shows('client.example'))
  const port = await exchange(us, client, 'first life')
  for (const life of ['second life', 'third life']) {
    await killed(client)
    t.ok(isKnown(us, port), 'its death was silent')
    client = start(t, us, await shows('client.example'), '-bind', `127.0.0.1:${port}`)
    t.equal(await exchange(us, client, life), port)
    t.match(client.output, /^New, TLSv1\.2/m)
    await sent(us.socket, `to the ${life}\n`, port)
    await client.said(new RegExp(`to the ${life}\n`))
  }

  t.equal(await exchange(us, witness, 'after'), witnessPort)
  t.notMatch(witness.output, /^closed$/m)
  t.equal(us.socket.peerStats(at(witnessPort))?.handshakes, 1)
  t.equal(us.socket.peerStats(at(port))?.handshakes, 3)
  t.same(ports(us), [port, witnessPort].sort())
})

t.test('with its session of before, it resumes', { skip }, async t => {
  const us = await listening(t, own)
  const session = join(ownDirectory(t), 'session')
  const first = start(t, us, await shows('client.example'), '-sess_out', session)
  const port = await exchange(us, first, 'first life')
  await killed(first)
  const again = ['-bind', `127.0.0.1:${port}`, '-sess_in', session]
  const second = start(t, us, await shows('client.example'), ...again)
  t.equal(await exchange(us, second, 'second life'), port)
  t.match(second.output, /^Reused, TLSv1\.2/m)
  const { resumed, peer } = await us.socket.querySecurity(at(port))
  t.same([resumed, peer?.names], [true, ['client.example']])
})

t.test('another that takes its port is known as what it proves', { skip }, async t => {
  const us = await listening(t, own)
  const first = start(t, us, await shows('client.example'))
  const port = await exchange(us, first, 'it is me')
  await killed(first)
  const second = start(t, us, await shows('heir.example'), '-bind', `127.0.0.1:${port}`)
  await exchange(us, second, 'it is another')
  const names = us.heard.all.map(({ from }) => from.peer?.names)
  t.same(names, [['client.example'], ['heir.example']])
})

t.test('one that takes its port and proves nothing replaces nothing', { skip }, async t => {
  const us = await listening(t, own)
  const first = start(t, us, await shows('client.example'))
  const port = await exchange(us, first, 'it is me')
  await killed(first)
  const thief = start(t, us, await strange(), '-bind', `127.0.0.1:${port}`)
  thief.type('let me in\n')
  t.equal((await thief.ended()).code, 1)
  t.match(await us.socket.querySecurity(at(port)), { peer: { names: ['client.example'] } })
  t.equal(us.heard.all.length, 1)

  const last = start(t, us, await shows('client.example'), '-bind', `127.0.0.1:${port}`)
  t.equal(await exchange(us, last, 'it is me again'), port)
})

for (const name of Object.keys(others)) {
  const { program, answer, start } = others[name as keyof typeof others]
  const missing = !requireProgram(t, program)
  t.test(`${name} behind a NAT that keeps its port`, { skip: missing }, async t => {
    const us = await listening(t, own, { echo: false })
    us.socket.on('peerClose', () => t.fail('somebody was lost'))
    us.socket.on('message', (message, from) => {
      us.socket.send(answer(message), from.port, from.address)
    })
    const { port, outerPort } = await silencingRelay(t, us.port)
    for (const life of ['first', 'second', 'third']) {
      await start(t, port, life)
      const { text, from } = await us.heard.next()
      t.ok(text.includes(life))
      t.match(from, { port: outerPort, peer: { names: ['client.example'] } })
    }
    t.same(ports(us), [outerPort])
    t.equal(us.socket.peerStats(at(outerPort))?.handshakes, 3)
  })
}

function start(t: Test, us: Listening, credentials: string[], ...args: string[]): Program {
  return sClient(t, us.port, '-dtls1_2', ...credentials, ...args)
}

/** Ends it as a loss of power does. */
async function killed(program: Program): Promise<void> {
  await program.stop()
}

/** It says something and hears it again; gives the port that it speaks from. */
async function exchange(us: Listening, client: Program, text: string): Promise<number> {
  client.type(`${text}\n`)
  await client.said(new RegExp(`^${text}$`, 'm'))
  const heard = await us.heard.next()
  if (heard.text !== `${text}\n`) throw new Error(`it heard ${heard.text}`)
  return heard.from.port
}

function coapOf(build: Build) {
  return {
    program: `coap-client-${build}`,
    answer: coapResponse,
    async start(t: Test, port: number, word: string) {
      const { cert, key } = paths
      const shown = ['-c', cert, '-j', key, '-C', paths.ca]
      const program = coapClient(t, build, port, word, ...shown)
      await program.said(coapAnswer)
      await program.ended()
    },
  }
}

function isKnown(us: Listening, port: number): boolean {
  return ports(us).includes(port)
}

function ports(us: Listening): number[] {
  return us.socket
    .peers()
    .map(peer => peer.port)
    .sort()
}

async function shows(name: string): Promise<string[]> {
  const { cert, key } = await testIdentity([name])
  return credentials({ cert, key })
}

async function strange(): Promise<string[]> {
  const { cert, key } = await strangerIdentity(['client.example'])
  return credentials({ cert, key })
}

function credentials(identity: { cert: string; key: string }): string[] {
  const paths = save(identity)
  return ['-cert', paths.cert, '-key', paths.key]
}
