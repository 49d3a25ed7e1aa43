/** The command line of windows-check. */
import { writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { parseArgs } from 'node:util'
import { ADOPTION_COMMAND, adoption, adoptionProcess } from './adoption.js'
import { type Control, connectControl } from './control.js'
import { datagramQuestions } from './datagrams.js'
import { environment } from './environment.js'
import { libraryQuestions } from './library.js'
import { machineQuestions } from './machine.js'
import { peerQuestions } from './peer.js'
import { ask, type Peer, type Question } from './question.js'
import { asText, nameless, type Report } from './report.js'
import { server } from './server.js'

const help = `windows-check: what this library assumes of Windows' IPsec, tried on real machines

Usage:
  node examples/windows-check/windows-check.mjs machine [options]
  node examples/windows-check/windows-check.mjs server [options]
  node examples/windows-check/windows-check.mjs client [options] SERVER

  machine   what one machine can tell alone
  server    helps one client, on the other machine, and ends
  client    all of it. SERVER is the other machine's DNS name, as the domain knows it

The report is text, and with --output also JSON, to send in. Host names, addresses and accounts
are left out of both. Both machines must be members of one domain, and their firewalls must let in
TCP and UDP to the server's ports. Run it as an ordinary account: whether that is enough is one of
the things to find out.

  --port N          the server's; it uses the 40 ports after it too (default: 27100; 0: any)
  --spn NAME        client: what the server must prove to be (default: host/SERVER)
  --wrong NAME      client: another machine's name, which it must not be able to prove
                    (default: host/ and the client's own name)
  --only ID,ID      these questions only
  --patience N      seconds that a connection may take (default: 30)
  --output FILE     the report as JSON too; the file is replaced
  --names           leave names, addresses and accounts in the report
  --list            the questions
  --help            this text`

const questions: readonly Question[] = [
  ...machineQuestions,
  adoption,
  ...peerQuestions,
  ...datagramQuestions,
  ...libraryQuestions,
]

/** @returns the exit code: 0 where the questions were asked, whatever the answers are */
export async function main(args: readonly string[]): Promise<number> {
  if (args[0] === ADOPTION_COMMAND) {
    await adoptionProcess(args.slice(1))
    return 0
  }
  let options: Options
  try {
    options = parse(args)
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${help}`)
    return 2
  }
  if (options.help) console.log(help)
  else if (options.list) list()
  else return run(options)
  return 0
}

interface Options {
  readonly role: string
  readonly host: string
  readonly help: boolean
  readonly list: boolean
  readonly port: number
  readonly patience: number
  readonly spn: string
  readonly wrong: string
  readonly asked: readonly Question[]
  readonly output?: string
  readonly names: boolean
}

function parse(args: readonly string[]): Options {
  const { values, positionals } = parseArgs({
    args: args.map(each => (each === '/?' ? '--help' : each)),
    options: {
      port: { type: 'string', default: '27100' },
      spn: { type: 'string' },
      wrong: { type: 'string', default: `host/${hostname()}` },
      only: { type: 'string' },
      patience: { type: 'string', default: '30' },
      output: { type: 'string' },
      names: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  })
  const [role = '', host = '', ...more] = positionals
  const { help, list } = values
  if (!help && !list) {
    if (!['machine', 'server', 'client'].includes(role))
      throw new Error('machine, server or client?')
    if ((role === 'client') !== (host !== '') || more.length > 0)
      throw new Error('a client needs SERVER, and nothing else does')
  }
  const { output, wrong, names } = values
  return {
    role,
    host,
    help,
    list,
    wrong,
    names,
    ...(output === undefined ? {} : { output }),
    port: number('--port', values.port, 0, 65_000),
    patience: number('--patience', values.patience, 1, 600) * 1000,
    spn: values.spn ?? `host/${host}`,
    asked: chosen(values.only),
  }
}

function number(name: string, text: string, least: number, most: number): number {
  const value = Number(text)
  if (text !== '' && Number.isInteger(value) && value >= least && value <= most) return value
  throw new Error(`${name}: a number from ${least} to ${most}, not ${text}`)
}

function chosen(only: string | undefined): readonly Question[] {
  if (only === undefined) return questions
  return only.split(',').map(id => {
    const found = questions.find(each => each.id === id)
    if (!found) throw new Error(`--only: there is no question ${id}; --list shows them`)
    return found
  })
}

function list(): void {
  for (const { id, needs, asks } of questions)
    console.log(`${id.padEnd(18)} ${needs.padEnd(8)} ${asks}`)
}

async function run({ role, host, ...options }: Options): Promise<number> {
  if (process.platform !== 'win32') {
    console.error('windows-check asks Windows, and this is none: run it there')
    return 1
  }
  try {
    if (role === 'server') {
      const say = (line: string) => console.log(`windows-check ${line}`)
      await server(options.port, say)
      return 0
    }
    if (role === 'machine') return await findOut('machine', options, undefined)
    const control = await connectControl(host, options.port)
    try {
      return await findOut('client', options, peer(host, control, options))
    } finally {
      control.end()
    }
  } catch (error) {
    console.error((error as Error).message)
    return 1
  }
}

function peer(host: string, control: Control, { spn, wrong, names }: PeerOptions): Peer {
  const wrongNames = { "another machine's name": wrong, 'a name of nobody': 'host/nobody.invalid' }
  return { host, address: control.address, control, spn, wrongNames, names }
}

type PeerOptions = Pick<Options, 'spn' | 'wrong' | 'names'>

async function findOut(
  role: Report['role'],
  { asked, patience, output, names }: Omit<Options, 'role' | 'host'>,
  peer: Peer | undefined,
): Promise<number> {
  const findings = []
  for (const question of asked) {
    if (question.needs === 'peer' && !peer) continue
    console.error(`${question.id} …`)
    findings.push(await ask(question, { patience, ...(peer ? { peer } : {}) }))
  }
  const machines = {
    [role]: await environment(),
    ...(peer ? { server: await peer.control.ask({ do: 'environment' }) } : {}),
  }
  const all: Report = { about: 'secure-socket windows-check', role, machines, findings }
  const report = names ? all : nameless(all, namesOf(peer))
  console.log(asText(report))
  if (output !== undefined) await writeFile(output, `${JSON.stringify(report, null, 2)}\n`)
  return 0
}

/** What is known of the other machine, by what stands in its place. */
function namesOf(peer: Peer | undefined): Record<string, string> {
  if (!peer) return {}
  const { host, address, control, spn, wrongNames } = peer
  const bare = (name: string) => name.slice(name.indexOf('/') + 1)
  return {
    ...Object.fromEntries(Object.values(wrongNames).map(name => [bare(name), '<another machine>'])),
    [control.localAddress]: '<client address>',
    [address]: '<server address>',
    [bare(spn)]: '<server>',
    [host]: '<server>',
  }
}
