import { mkdir, open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { invalid, SocketSecurityError } from '../model/errors.js'

/** A certificate (with its chain, if any) and its private key, both PEM. */
export interface CertificateAndKey {
  cert: string
  key: string
}

/**
 * Writes `<name>.key` and `<name>.crt`: both or none, and neither over an existing file. The key
 * is created with mode 0600, not changed to it: nobody else can open it in between.
 * @throws SocketSecurityError EINVAL naming the file; `cause` is the system's error
 */
export async function writePair(
  directory: string,
  name: string,
  { cert, key }: CertificateAndKey,
): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 }).catch(
    refused(directory, 'is no directory'),
  )
  const keyFile = join(directory, `${name}.key`)
  await writeNew(keyFile, key, 0o600)
  try {
    await writeNew(join(directory, `${name}.crt`), cert, 0o644)
  } catch (error) {
    await unlink(keyFile)
    throw error
  }
}

/**
 * A file's name without directory or extension, such as every system can have. To Windows `a:b` is a
 * hidden stream of the file `a`.
 */
export function parseBasename(option: string, name: unknown): string {
  if (typeof name === 'string' && plainName.test(name) && !isDevice(name)) return name
  throw invalid(
    option,
    name,
    'give a file name without directory, leading "." or any of <>:"|?*, and none of Windows\' devices such as NUL',
  )
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what no name may have
const plainName = /^[^./\\<>:"|?*\0-\x1f][^/\\<>:"|?*\0-\x1f]*$/

/** Would Windows take it for a device? CON.key is the console, to which it would print the key. */
export function isDevice(name: string): boolean {
  return /^(con|conin\$|conout\$|prn|aux|nul|(com|lpt)[0-9¹²³]) *(\.|$)/i.test(name)
}

async function writeNew(file: string, contents: string, mode: number): Promise<void> {
  const handle = await open(file, 'wx', mode).catch(refused(file, 'is not overwritten'))
  try {
    await handle.writeFile(contents)
  } catch (error) {
    await unlink(file)
    throw refused(file)(error)
  } finally {
    await handle.close()
  }
}

/** @param existing what to say where something is in the way */
function refused(path: string, existing = ''): (cause: unknown) => never {
  return cause => {
    const { code } = cause as NodeJS.ErrnoException
    const reason = code === 'EEXIST' ? `exists and ${existing}` : `cannot be written (${code})`
    throw new SocketSecurityError('EINVAL', `directory: ${path} ${reason}`, { cause })
  }
}
