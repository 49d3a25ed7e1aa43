/** What the documents consist of: their blocks of code, tables, headings and links. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../support/project-root.js'

/** The documents, by their path in the repository. */
export const documents = [
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'examples/README.md',
  ...readdirSync(join(root, 'docs'))
    .filter(name => name.endsWith('.md'))
    .map(name => `docs/${name}`),
]

/** A file of the repository. */
export function read(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

/** The blocks of code in one language, in order. */
export function blocks(text: string, language: string): string[] {
  const fence = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms')
  return [...text.matchAll(fence)].map(([, code = '']) => code)
}

/** Everything but blocks of code. */
export function prose(text: string): string {
  return text.replace(/^```.*?^```$/gms, '')
}

/** What stands between a heading and the next one of the same level or above. */
export function section(text: string, heading: string): string {
  const found = new RegExp(`^(#+) ${heading}\\n`, 'm').exec(text)
  if (!found) throw new Error(`there is no heading "${heading}"`)
  const [whole, { length } = ''] = found
  const rest = text.slice(found.index + whole.length)
  const end = rest.search(new RegExp(`^#{1,${length}} `, 'm'))
  return end === -1 ? rest : rest.slice(0, end)
}

/** The rows of the tables in a text, without their heads. */
export function rows(text: string): string[][] {
  const cells = (line: string) =>
    line
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map(cell => cell.replaceAll('\\|', '|').trim())
  const tables = text.match(/(?:^\|.*\|\n)+/gm) ?? []
  return tables.flatMap(table => table.trimEnd().split('\n').slice(2).map(cells))
}

/** The first thing in backticks. */
export function code(cell = ''): string {
  return /`([^`]+)`/.exec(cell)?.[1] ?? ''
}

/** The targets of all links. */
export function links(text: string): string[] {
  return [...prose(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target)
}

/** What a link to a heading is called, as GitHub makes it. */
export function anchors(text: string): string[] {
  return [...prose(text).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}
