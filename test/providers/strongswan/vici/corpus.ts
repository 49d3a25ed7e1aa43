/** Recorded packets and messages: a name and hexadecimal digits a line. */
import { readFileSync } from 'node:fs'

export interface Recorded {
  readonly name: string
  readonly bytes: Buffer
}

/** The packets of a daemon, without their lengths. */
export const charon = read('charon-5.9.8')
/** Messages that are none. */
export const hostile = read('hostile')

function read(name: string): Recorded[] {
  return readFileSync(new URL(`corpus/${name}.txt`, import.meta.url), 'utf8')
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'))
    .map(line => line.split(' ') as [string, string])
    .map(([name, digits]) => ({ name, bytes: Buffer.from(digits, 'hex') }))
}
