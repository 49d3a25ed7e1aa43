/**
 * The wrong chain: a certificate of the right name that is signed, in the end, by the authority that we
 * trust, but by a way that the authority did not allow, or in a form that proves too little. Whoever
 * forgets one of these checks takes each holder of a certificate for an authority.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createSocket } from '../../../src/dgram.js'
import { createConnection } from '../../../src/net.js'
import { closed } from '../../interop/dtls-sockets.js'
import { ownDirectory } from '../../interop/files.js'
import { sServer } from '../../interop/openssl.js'
import { requireProgram } from '../../support/foreign-program.js'
import { testIdentity } from '../../support/identities.js'
import { run } from '../../support/program.js'
import { type Protocol, triedProtocols as tried } from './foreign-ends.js'
import { refusedAsServer } from './our-ends.js'
import { isWithoutData, OUR_SECRET, reader, readsNothing, THEIR_SECRET } from './reader.js'
import { PEER_NAME } from './wrong-peers.js'

const skip = !requireProgram(t, 'openssl')
const { cert, key } = await testIdentity(['client.example'])

const authority = 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n'
const leaf = `basicConstraints=CA:FALSE\nsubjectAltName=DNS:${PEER_NAME}\n`
/** In what it differs from a chain that is in order, and what our error says of it. */
interface Way {
  readonly way: string
  readonly root?: string
  readonly middle?: string
  readonly leaf?: string
  readonly digest?: string
  readonly newKey?: string
  readonly code: string | RegExp
  readonly message: RegExp
  /** The protocol that it can be shown by, where it cannot by each. */
  readonly only?: string
}

const ways: readonly Way[] = [
  {
    way: 'its issuer is no authority',
    middle: leaf,
    // node:tls goes on after the first objection, and tells the last.
    code: /^INVALID_(CA|PURPOSE)$/,
    message: /its certificate is /,
  },
  {
    way: 'its issuer may not sign certificates',
    middle: authority.replace('keyCertSign', 'digitalSignature'),
    code: /^(INVALID_(CA|PURPOSE)|KEYUSAGE_NO_CERTSIGN|CERT_REJECTED)$/,
    message: /its certificate is /,
  },
  {
    way: 'its key may not be used to say who is there',
    leaf: `${leaf}keyUsage=critical,cRLSign\n`,
    code: 'INVALID_PURPOSE',
    message: /its certificate is /,
    // Before that openssl has no suite for it.
    only: '-tls1_3',
  },
  {
    way: 'there are more between it and the authority than that allows',
    root: authority.replace('TRUE', 'TRUE,pathlen:0'),
    code: 'PATH_LENGTH_EXCEEDED',
    message: /path length/,
  },
  {
    way: 'its issuer may certify other names only',
    middle: `${authority}nameConstraints=critical,permitted;DNS:other.example\n`,
    code: 'CERT_REJECTED',
    message: /its certificate is refused: permitted subtree violation/,
  },
  {
    way: 'it has an extension that must be understood, and that nobody here knows',
    leaf: `${leaf}1.2.3.4=critical,DER:0500\n`,
    code: 'CERT_REJECTED',
    message: /its certificate is refused: unhandled critical extension/,
  },
  {
    way: 'it is signed by way of SHA-1',
    digest: '-sha1',
    code: 'CERT_REJECTED',
    message: /its certificate is refused: .*digest.* too weak/,
  },
  {
    way: 'its key is too short',
    newKey: 'rsa:768',
    code: 'CERT_REJECTED',
    message: /its certificate is refused: .*key too weak/,
  },
]

for (const wrong of skip ? [] : ways)
  t.test(wrong.way, async t => {
    const chain = await chainOf(t, wrong)
    const { only } = wrong
    const shown = tried.filter(({ flag }) => only === undefined || flag === only)
    for (const protocol of shown) await isRefused(t, chain, protocol, wrong)
    if (only !== undefined) return
    // OpenSSL has this suite at level 0 only, which must not count for certificates.
    const ciphers = 'ECDHE-ECDSA-AES128-CCM8:ECDHE+AESGCM'
    const [datagrams] = tried.filter(({ transport }) => transport === 'udp') as [Protocol]
    await isRefused(t, chain, { ...datagrams, name: 'with a suite of CoAP' }, wrong, { ciphers })
  })

t.test('the chain from which they differ is in order', { skip }, async t => {
  const { paths, ca } = await chainOf(t, {})
  for (const { transport, flag } of tried) {
    const { port, program } = await sServer(t, flag, ...paths)
    const security = { cert, key, ca }
    if (transport === 'tcp') {
      const socket = createConnection({
        port,
        host: '127.0.0.1',
        peerTargetName: PEER_NAME,
        security,
      })
      t.teardown(() => socket.destroy())
      socket.write(`${OUR_SECRET}\n`)
    } else {
      const socket = createSocket({ type: 'udp4', security })
      t.teardown(() => closed(socket))
      await socket.setPeerTargetName({ address: '127.0.0.1', port, targetName: PEER_NAME })
      socket.send(`${OUR_SECRET}\n`, port, '127.0.0.1')
    }
    await program.said(new RegExp(OUR_SECRET))
  }
})

async function isRefused(
  t: Test,
  { paths, ca }: Chain,
  { name, transport, flag, showsTypes }: Protocol,
  { code, message }: Way,
  more: { ciphers?: string } = {},
): Promise<void> {
  // What is too weak for us is to be shown all the same.
  const { port, program } = await sServer(t, flag, ...paths, '-cipher', 'DEFAULT:@SECLEVEL=0')
  program.type(`${THEIR_SECRET}\n`)
  const between = await reader(t, transport, port)
  const security = { cert, key, ca, ...more }
  const error = await refusedAsServer(t, transport, between.port, PEER_NAME, security)
  t.match(error, { code, message, peer: `127.0.0.1:${between.port}` }, name)
  await program.said(/^(ERROR|DONE|shutting down)/m)
  t.notMatch(program.output, OUR_SECRET)
  readsNothing(t, between)
  if (showsTypes) isWithoutData(t, between.toServer(), transport)
}

interface Chain {
  /** The arguments by which openssl shows it. */
  readonly paths: string[]
  /** The authority at its end, which we trust. */
  readonly ca: string
}

async function chainOf(t: Test, way: Partial<Way>): Promise<Chain> {
  const { root = authority, middle = authority, leaf: own = leaf, digest, newKey } = way
  const cwd = ownDirectory(t, { root, middle, leaf: own })
  const openssl = (command: string) => run('openssl', command.split(' '), { cwd })
  const p256 = 'ec -pkeyopt ec_paramgen_curve:P-256'
  for (const [name, kind] of [
    ['root', p256],
    ['middle', p256],
    ['leaf', newKey ?? p256],
  ])
    await openssl(
      `req -newkey ${kind} -nodes -keyout ${name}.key -out ${name}.csr -subj /CN=${name}`,
    )
  const certify = (name: string, by: string) =>
    openssl(`x509 -req -days 2 -in ${name}.csr ${by} -extfile ${name} -out ${name}.crt`)
  const issuer = (name: string) => `-CA ${name}.crt -CAkey ${name}.key -CAcreateserial`
  await certify('root', '-key root.key')
  await certify('middle', issuer('root'))
  await certify('leaf', `${issuer('middle')} ${digest ?? '-sha256'}`)
  const path = (name: string) => join(cwd, name)
  return {
    paths: ['-cert', path('leaf.crt'), '-key', path('leaf.key'), '-cert_chain', path('middle.crt')],
    ca: readFileSync(path('root.crt'), 'utf8'),
  }
}
