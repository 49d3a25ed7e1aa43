// What stcpclient and stcpserver share: the command line, who they are, and how they are secured.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

/** The client's message and the server's, as the SDK's pair has them. */
export const clientMessage = '12345678'
export const serverMessage = '91011121314'

export const clientName = 'spiffe://example.com/stcpclient'

const commonOptions = {
  adv: { type: 'boolean', default: false },
  v6: { type: 'boolean', default: false },
  identity: { type: 'string', default: process.env.STCP_IDENTITY ?? 'pki' },
  port: { type: 'string', default: '27015' },
  help: { type: 'boolean', default: false },
}

export const commonHelp = `  --adv            secured by settings of its own instead of the default policy:
                   TLS 1.3 and one cipher suite, nothing else
  --v6             IPv6 instead of IPv4
  --identity DIR   where the identities are (default: $STCP_IDENTITY, else pki)
  --port N         default: 27015
  --help, /?       this text`

const howToMakeIdentities = `The identities are made once, by one authority:
  npx secure-socket identity authority --dir pki
  npx secure-socket identity create --authority pki --dir pki --file stcpserver \\
      --name host/localhost --name 127.0.0.1 --name ::1
  npx secure-socket identity create --authority pki --dir pki --file stcpclient \\
      --name ${clientName}`

/** Ends the program with 0 where help was asked for, with 2 where the command line is wrong. */
export function parseCommandLine(help, { options = {}, operands = 0 } = {}) {
  try {
    const { values, positionals } = parseArgs({
      args: process.argv.slice(2).map(asSpelledHere),
      options: { ...commonOptions, ...options },
      allowPositionals: true,
    })
    if (values.help) {
      console.log(`${help}\n\n${howToMakeIdentities}`)
      process.exit(0)
    }
    if (positionals.length !== operands) throw new Error('the number of operands is wrong')
    const port = Number(values.port)
    if (!Number.isInteger(port) || port < 0 || port > 65535) throw new Error('--port is no port')
    return { ...values, port, positionals }
  } catch (error) {
    console.error(`${error.message}\n\n${help}`)
    process.exit(2)
  }
}

/** The SDK's programs take -adv, -v6 and /? */
function asSpelledHere(argument) {
  return { '-adv': '--adv', '-v6': '--v6', '/?': '--help' }[argument] ?? argument
}

/** The security settings of the program that is called `name`. */
export function settings({ adv, identity }, name) {
  const basic = {
    ...readIdentity(identity, name),
    protocol: 'default',
    guaranteeEncryption: true,
    // Both ends authenticate themselves, or the server could not act as its client.
    requestCert: true,
  }
  if (!adv) return basic
  return {
    ...basic,
    protocol: 'tls',
    minVersion: 'TLSv1.3',
    ciphers: 'TLS_AES_128_GCM_SHA256',
    handshakeTimeout: 10_000,
  }
}

function readIdentity(directory, name) {
  const read = file => readFileSync(join(directory, file))
  try {
    return { cert: read(`${name}.crt`), key: read(`${name}.key`), ca: read('authority.crt') }
  } catch (error) {
    console.error(`${error.message}\n\n${howToMakeIdentities}`)
    process.exit(1)
  }
}

/** Reads until `length` bytes have come, or the peer has closed. The connection stays open. */
export async function receive(socket, length) {
  let received = ''
  for await (const text of socket.setEncoding('latin1').iterator({ destroyOnReturn: false })) {
    received += text
    if (received.length >= length) break
  }
  return received
}

/** The place where the SDK's pair looks for the security association that carries its connection. */
export async function showSecurity(socket) {
  const { version, cipher, encrypted, peer } = await socket.querySecurity()
  console.log(`Secured by ${version}, ${cipher}${encrypted ? '' : ', NOT ENCRYPTED'}`)
  console.log(`The peer is ${peer.names.join(', ')}`)
}
