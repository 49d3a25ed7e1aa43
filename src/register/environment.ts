/** The variables by which another process of Node's, or another thread, is secured as this one is. */
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** The policy as it was named when this process began, whatever the program does to its environment. */
const policyFile = process.env.SECURE_SOCKET_POLICY

/**
 * A copy of these variables with which Node loads `secure-socket/register` before anything else, and
 * finds the same policy. What is there already stays as it is.
 * @param platform whose rules of names hold; Windows knows no case
 */
export function registeredEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  platform: string = process.platform,
): Record<string, string | undefined> {
  const given = { ...env }
  const name = (wanted: string) =>
    platform === 'win32'
      ? (Object.keys(given).find(each => each.toUpperCase() === wanted) ?? wanted)
      : wanted
  const options = name('NODE_OPTIONS')
  given[options] = registeredOptions(given[options])
  const policy = name('SECURE_SOCKET_POLICY')
  if (policyFile && !given[policy]) given[policy] = policyFile
  return given
}

/**
 * The same for what this process starts: the policy is that of this process, whatever the program has
 * written into its environment since, or gives to its children.
 */
export function inheritedEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  const isPolicy = (name: string) =>
    (process.platform === 'win32' ? name.toUpperCase() : name) === 'SECURE_SOCKET_POLICY'
  const others = Object.entries(env).filter(([name]) => !isPolicy(name))
  return registeredEnvironment(Object.fromEntries(others))
}

/** NODE_OPTIONS with ours, once, by an absolute path: a child can have another working directory. */
export function registeredOptions(options = ''): string {
  const own = `--require ${quoted(registerFile())}`
  if (endsWithOwn(options)) return options
  const others = options.replace(bySpecifier, '').trim()
  return others === '' ? own : `${others} ${own}`
}

/** The name of the package is looked for from the working directory. */
const bySpecifier =
  /(?<=^|\s)(?:--import|--require|-r)(?:=|\s+)"?secure-socket\/register"?(?=\s|$)/g

/** Node splits its options at spaces, except in double quotes, in which a backslash escapes. */
function quoted(path: string): string {
  return /[\s"\\]/.test(path) ? JSON.stringify(path) : path
}

/** As we put it there; the same text can stand inside the quoted value of another option. */
function endsWithOwn(options: string): boolean {
  const own = `--require ${quoted(registerFile())}`
  if (options !== own && !options.endsWith(` ${own}`)) return false
  // Only in quotes does a backslash escape.
  const outside = options.slice(0, -own.length).replace(/"(?:[^"\\]|\\.)*"/gs, '')
  return !outside.includes('"')
}

/** Has Node loaded us for an option of the command line, or in NODE_OPTIONS, and not the program itself? */
export function isInherited(): boolean {
  const { NODE_OPTIONS = '' } = process.env
  if (endsWithOwn(NODE_OPTIONS)) return true
  if (!NODE_OPTIONS.includes('"') && NODE_OPTIONS.match(bySpecifier)) return true
  const folder = dirname(registerFile())
  const isOurs = (value = '') =>
    value === 'secure-socket/register' ||
    value.startsWith(join(folder, 'register.')) ||
    value.startsWith(pathToFileURL(join(folder, 'register.')).href)
  return process.execArgv.some((option, index, all) => {
    const loads = /^(?:--import|--require|-r)(?:=(.*))?$/.exec(option)
    return loads !== null && isOurs(loads[1] ?? all[index + 1])
  })
}

/** Makes the name of the package absolute where it stands among options that children inherit. */
export function absoluteOptions(execArgv: string[]): void {
  const own = `--require=${registerFile()}`
  const isName = (value: string | undefined) => value === 'secure-socket/register'
  for (const [index, option] of execArgv.entries()) {
    const [name, value] = option.split('=')
    if (!/^(--import|--require|-r)$/.test(name ?? '')) continue
    if (isName(value)) execArgv[index] = own
    else if (value === undefined && isName(execArgv[index + 1])) execArgv.splice(index, 2, own)
  }
}

let known: string | undefined

/** The CommonJS file of `secure-socket/register`, which --require takes for programs of either kind. */
export function registerFile(): string {
  if (known === undefined) {
    const { resolve } = createRequire(import.meta.url)
    try {
      known = resolve('./register.cjs')
    } catch {
      // Not built into one folder: the sources themselves, in tests.
      known = resolve('secure-socket/register')
    }
  }
  return known
}
