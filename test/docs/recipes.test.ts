/**
 * docs/recipes.md names the libraries, versions, recipes and programs that the tests use: whoever
 * updates a library or adds a recipe is told here that its row is behind.
 */
import { readdirSync } from 'node:fs'
import { join, normalize } from 'node:path'
import t from 'tap'
import { root } from '../support/project-root.js'
import { links, read, rows, section } from './markdown.js'

const recipesFolder = 'examples/recipes'
const programsFolder = 'test/register/programs'

const { devDependencies } = JSON.parse(read('package.json'))
const table = rows(section(read('docs/recipes.md'), 'Recipes')).filter(row => row.length === 6)

t.test('every library of a recipe has a row, with the version that is tried', async t => {
  const used = sources(recipesFolder).flatMap(({ text }) => libraries(text))
  const named = table.flatMap(([library]) => codes(library))
  t.same(named.sort(), [...new Set(used)].sort())
  for (const [library = '', version] of table) {
    const installed = codes(library).map(name => devDependencies[name] ?? 'Node’s')
    t.equal(version?.replace("'", '’'), installed.join(', '), library)
  }
})

t.test('every recipe does what its row says', async t => {
  for (const [library = '', , client = '', server = '', recipe] of table) {
    const text = read(linked(recipe)[0] as string)
    for (const name of codes(library)) t.ok(libraries(text).includes(name), `${recipe}: ${name}`)
    for (const how of [...codes(client), ...codes(server)].filter(each => !isLibrary(each)))
      t.ok(text.includes(how), `${recipe}: ${how}`)
    t.ok(client !== '–' || server !== '–', library)
  }
})

t.test('every program that runs under register is in the table', async t => {
  const named = table.flatMap(([, , , , , programs]) => linked(programs))
  const programs = sources(programsFolder).filter(({ text }) => libraries(text).length > 0)
  t.same([...new Set(named)].sort(), programs.map(({ path }) => path).sort())
  for (const [library, , , , , programs] of table)
    for (const path of linked(programs))
      for (const name of codes(library))
        t.ok(libraries(read(path)).includes(name), `${path}: ${name}`)
})

t.test('no program that runs under register mentions this library', async t => {
  for (const { path, text } of sources(programsFolder)) t.notMatch(text, /secure.?socket/i, path)
})

function sources(folder: string): { path: string; text: string }[] {
  return readdirSync(join(root, folder)).map(name => {
    const path = `${folder}/${name}`
    return { path, text: read(path) }
  })
}

/** What a program imports that is not Node's or ours; node:http takes sockets as libraries do. */
function libraries(text: string): string[] {
  const specifiers = [...text.matchAll(/(?:from |require\()'([^'.][^']*)'/g)].map(
    ([, specifier = '']) => specifier,
  )
  const packages = specifiers
    .filter(specifier => !/^(secure-socket|node:(?!http$))/.test(specifier))
    .map(specifier => specifier.replace(/^([^@/]+)\/.*/, '$1'))
  // Of ws and undici it is the server only.
  return packages.filter(name => name !== 'node:http' || packages.length === 1)
}

function isLibrary(name: string): boolean {
  return name === 'node:http' || name in devDependencies
}

function codes(cell = ''): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code)
}

/** The files that a cell of the table links to, by their path in the repository. */
function linked(cell = ''): string[] {
  return links(cell).map(target => normalize(join('docs', target)))
}
