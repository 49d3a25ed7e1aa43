// Builds limit.c, where there is something to build it with.

import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const source = fileURLToPath(new URL('limit.c', import.meta.url))
const directory = fileURLToPath(new URL('../node_modules/.cache/', import.meta.url))

/** Gives the program's path and its OpenSSL's version, or why there is none. */
export function buildLimit() {
  if (process.platform !== 'linux') return { why: 'UDP_SEGMENT and UDP_GRO are of Linux' }
  const program = join(directory, 'limit')
  mkdirSync(directory, { recursive: true })
  const libraries = ['-lssl', '-lcrypto']
  const cc = spawnSync('cc', ['-O2', '-o', program, source, ...libraries], { encoding: 'utf8' })
  if (cc.error) return { why: 'there is no C compiler (cc)' }
  if (cc.status !== 0) {
    const [first] = cc.stderr.split('\n').filter(line => line.includes('error'))
    return { why: `cc could not build it, it needs the headers of OpenSSL (libssl-dev): ${first}` }
  }
  const tried = spawnSync(program, ['1'], { input: '', encoding: 'utf8', timeout: 10_000 })
  if (tried.status !== 0) return { why: `it does not run: ${tried.stderr.trim()}` }
  return { program, version: tried.stdout.trim() }
}
