import { problemText } from '../../model/policy/problems.js'
import { checkPolicy, type PolicyCheck } from '../../policy/check-policy.js'
import { administratorsFile } from '../../policy/read-policy.js'
import { defineCommand, EXIT_FAILED, EXIT_OK } from '../command.js'
import { json } from '../identity/output.js'

const help = `secure-socket policy check: is a policy valid, and can it be used here?

Reads the policy as a program would, with the files that it names: keys must belong to their
certificates, and nobody but the administrator and the user who runs this may change the files, or
read the secret ones. So run it as the user of the program that is to use it.

Usage:
  secure-socket policy check [FILE]

FILE is a policy; without it, the one that is in force here is checked.

Options:
  --json        print one JSON object: file (null where no policy is in force), valid, problems, an
                array of objects: path (where it stands in the file) and message
  -h, --help

Exit codes:
  0  it is valid, or none is in force
  1  it is not valid, or cannot be used: every problem is printed
  2  the command line was wrong
`

/** `secure-socket policy check [FILE]` */
export const check = defineCommand({
  name: 'policy check',
  help,
  options: { json: { type: 'boolean', default: false } },
  operands: ['[FILE]'],
  async run(values, [file], { stdout }) {
    const found = checkPolicy(file)
    const valid = found.problems.length === 0
    stdout.write(values.json ? json({ ...found, valid }) : readable(found))
    return valid ? EXIT_OK : EXIT_FAILED
  },
})

function readable({ file, problems }: PolicyCheck): string {
  if (file === null)
    return `No policy is in force: ${administratorsFile} does not exist, and SECURE_SOCKET_POLICY is not set\n`
  if (problems.length === 0) return `${file} is valid\n`
  return `${file} cannot be used:\n${problems.map(each => `  ${problemText(each)}\n`).join('')}`
}
