// What both programs are told: who they are, whom they trust, and where strongSwan listens.

import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  options: {
    cert: { type: 'string' },
    key: { type: 'string' },
    ca: { type: 'string' },
    vici: { type: 'string', default: '/run/charon.vici' },
    name: { type: 'string' },
    port: { type: 'string', default: '7000' },
  },
  allowPositionals: true,
})
for (const each of ['cert', 'key', 'ca'])
  if (values[each] === undefined) {
    console.error(`--${each} FILE is missing: see examples/README.md`)
    process.exit(2)
  }

/** The kernel secures the packets; the IKE daemon at `viciSocket` negotiates the keys. */
export const security = {
  protocol: 'ipsec',
  cert: readFileSync(values.cert),
  key: readFileSync(values.key),
  ca: readFileSync(values.ca),
  ipsec: { viciSocket: values.vici },
}
/** Of the server: where it listens, and where it is called. */
export const [address = '0.0.0.0'] = positionals
/** What the server must prove to be. */
export const targetName = values.name ?? address
export const port = Number(values.port)
