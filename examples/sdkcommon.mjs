// What the two pairs share, stcpclient and stcpserver with sudpclient and sudpserver: the command
// line, who they are, and the messages.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

/** The client's message and the server's, as the SDK's pair has them. */
export const clientMessage = '12345678'
export const serverMessage = '91011121314'

/**
 * @param {'stcp' | 'sudp'} pair
 * @param {string} advanced what --adv sets
 */
export function describePair(pair, advanced) {
  const clientName = `spiffe://example.com/${pair}client`
  const variable = `${pair.toUpperCase()}_IDENTITY`
  return {
    clientName,
    variable,
    help: `  --adv            secured by settings of its own instead of the default policy:
                   ${advanced}
  --v6             IPv6 instead of IPv4
  --identity DIR   where the identities are (default: $${variable}, else pki)
  --port N         default: 27015
  --help, /?       this text`,
    howToMakeIdentities: `The identities are made once, by one authority:
  npx secure-socket identity authority --dir pki
  npx secure-socket identity create --authority pki --dir pki --file ${pair}server \\
      --name host/localhost --name 127.0.0.1 --name ::1
  npx secure-socket identity create --authority pki --dir pki --file ${pair}client \\
      --name ${clientName}`,
  }
}

/** Ends the program with 0 where help was asked for, with 2 where the command line is wrong. */
export function parseCommandLine(pair, help, { options = {}, operands = [0, 0] } = {}) {
  const commonOptions = {
    adv: { type: 'boolean', default: false },
    v6: { type: 'boolean', default: false },
    identity: { type: 'string', default: process.env[pair.variable] ?? 'pki' },
    port: { type: 'string', default: '27015' },
    help: { type: 'boolean', default: false },
  }
  try {
    const { values, positionals } = parseArgs({
      args: process.argv.slice(2).map(asSpelledHere),
      options: { ...commonOptions, ...options },
      allowPositionals: true,
    })
    if (values.help) {
      console.log(`${help}\n\n${pair.howToMakeIdentities}`)
      process.exit(0)
    }
    const [least, most] = operands
    if (positionals.length < least || positionals.length > most)
      throw new Error('the number of operands is wrong')
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

/** Who the program is that is called `name`, and whom it trusts. */
export function readIdentity(pair, directory, name) {
  const read = file => readFileSync(join(directory, file))
  try {
    return { cert: read(`${name}.crt`), key: read(`${name}.key`), ca: read('authority.crt') }
  } catch (error) {
    console.error(`${error.message}\n\n${pair.howToMakeIdentities}`)
    process.exit(1)
  }
}

/** The place where the SDK's pair looks for the security association that carries its connection. */
export function showSecurity({ version, cipher, encrypted, peer }) {
  console.log(`Secured by ${version}, ${cipher}${encrypted ? '' : ', NOT ENCRYPTED'}`)
  console.log(`The peer is ${peer.names.join(', ')}`)
}
