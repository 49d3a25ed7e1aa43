/** Inputs that have reached something that no other had: a file for each. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nameOf } from './loop.js'
import type { Parser } from './parser.js'

export function readCorpus(folder: string, parser: Parser): Buffer[] {
  const own = join(folder, parser.name)
  if (!existsSync(own)) return []
  return readdirSync(own)
    .sort()
    .map(file => readFileSync(join(own, file)))
}

export function addToCorpus(folder: string, parser: Parser, input: Buffer): void {
  const own = join(folder, parser.name)
  mkdirSync(own, { recursive: true })
  writeFileSync(join(own, nameOf(input)), input)
}
