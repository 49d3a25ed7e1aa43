import { defineCommand, EXIT_FAILED, EXIT_OK } from './command.js'
import { examineBatch } from './doctor/batch.js'
import { examineDtls } from './doctor/dtls.js'
import { examineNode } from './doctor/node.js'
import { examinePolicy } from './doctor/policy.js'
import { readable } from './doctor/report.js'
import { examineStrongswan } from './doctor/strongswan.js'
import { examineTls } from './doctor/tls.js'
import { examineWinsock } from './doctor/winsock.js'
import { json } from './identity/output.js'
import { version } from './version.js'

const help = `secure-socket doctor: what works here, what is missing and how to get it

Looks at Node, at what secures streams (tls) and datagrams (dtls), at the faster way of datagrams
on Linux, at IPsec, and at the administrator's policy that is in force. Both default providers make
a handshake with themselves, inside of this process; strongSwan, where there is one, guards a free
port for a moment. Nothing is sent.

Usage:
  secure-socket doctor [options]

Options:
  --json        print one JSON object: version, ok, and findings, an array of objects: name (node,
                tls, dtls, batch, winsock, strongswan, policy), title, status, summary, and where
                there are any: remedies, details. The status is "works"; "fails": it is needed, and
                cannot be used; "missing": it cannot be used, and nothing needs it unless it is
                asked for; "elsewhere": it is for another platform
  -h, --help

Exit codes:
  0  tls and dtls work, and the policy, where there is one, is valid
  1  one of them fails
  2  the command line was wrong
`

/** `secure-socket doctor` */
export const doctor = defineCommand({
  name: 'doctor',
  help,
  options: { json: { type: 'boolean', default: false } },
  async run(values, _operands, { stdout }) {
    const findings = [
      examineNode(),
      await examineTls(),
      await examineDtls(),
      examineBatch(),
      examineWinsock(),
      await examineStrongswan(),
      examinePolicy(),
    ]
    const ok = findings.every(({ status }) => status !== 'fails')
    stdout.write(values.json ? json({ version, ok, findings }) : readable(version, findings))
    return ok ? EXIT_OK : EXIT_FAILED
  },
})
