import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { parseCertificates } from '../../identity/pem.js'

/**
 * The certificates of a file, PEM (several, with any text around them) or DER.
 * @throws Error naming the file
 */
export async function readCertificates(
  file: string,
): Promise<[X509Certificate, ...X509Certificate[]]> {
  const contents = await readNamed(file)
  return isDer(contents) ? [parseDer(file, contents)] : parseCertificates(file, contents)
}

/** @throws Error naming the file and what is wrong with it */
export async function readNamed(file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const reason = code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`
    throw new Error(`${file} ${reason}`, { cause })
  }
}

/** A SEQUENCE of more than 127 bytes; its second byte is no character of a PEM file. */
function isDer(contents: Buffer): boolean {
  return contents[0] === 0x30 && ((contents[1] ?? 0) & 0x80) !== 0
}

function parseDer(file: string, contents: Buffer): X509Certificate {
  try {
    return new X509Certificate(contents)
  } catch (cause) {
    throw new Error(`${file} contains a broken certificate`, { cause })
  }
}
