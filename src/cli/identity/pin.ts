import { publicKeyPin } from '../../model/peer-identity.js'
import { defineCommand, EXIT_OK } from '../command.js'
import { readCertificates } from './certificate-file.js'
import { json } from './output.js'

const help = `secure-socket identity pin: the pin of a certificate's public key

A pin is a target name for peers that trust no authority: peerTargetName: 'sha256/…'.
It stays the same when a certificate is renewed with the same key.

Usage:
  secure-socket identity pin FILE

FILE is a certificate, PEM or DER; of several the first counts.

Options:
  --json        print one JSON object: pin
  -h, --help

Exit codes: 0 done, 1 failed, 2 the command line was wrong
`

/** `secure-socket identity pin FILE` */
export const pin = defineCommand({
  name: 'identity pin',
  help,
  options: { json: { type: 'boolean', default: false } },
  operands: ['FILE'],
  async run(values, [file = ''], { stdout }) {
    const [certificate] = await readCertificates(file)
    const pin = publicKeyPin(certificate)
    stdout.write(values.json ? json({ pin }) : `${pin}\n`)
    return EXIT_OK
  },
})
