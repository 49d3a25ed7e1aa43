// A copy of the tree in JavaScript, for the tests: nothing needs to be compiled when they run, and on a
// system of their own (Node for Windows, a guest) they find no packages for this one.

import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { transformSync } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))
const compiled = ['src', 'lib', 'test', 'examples']
const hidden = [
  'node_modules',
  '.git',
  '.strongswan',
  '.winsock',
  '.node-versions',
  '.tap',
  '.tests',
]

/**
 * Makes JavaScript of every TypeScript file, under its own path, so that imports, addresses of files
 * and child processes work as they are. Nothing is bundled, and what is no program is linked; so is
 * what will be built.
 * @param {string} folder exists; packages are looked up from there
 */
export function mirror(folder) {
  for (const name of new Set([...readdirSync(root), 'dist'])) {
    if (compiled.includes(name)) copyFolder(name, folder)
    else if (!hidden.includes(name)) symlinkSync(join(root, name), join(folder, name))
  }
}

function copyFolder(name, folder) {
  mkdirSync(join(folder, name))
  for (const entry of readdirSync(join(root, name), { withFileTypes: true })) {
    const path = join(name, entry.name)
    if (entry.isDirectory()) copyFolder(path, folder)
    else if (!path.endsWith('.ts')) copyFileSync(join(root, path), join(folder, path))
    else {
      const { code, map } = javascript(path)
      const script = join(folder, path.replace(/ts$/, 'js'))
      writeFileSync(script, code)
      writeFileSync(`${script}.map`, map)
      // For what reads sources, or makes a program of them.
      symlinkSync(join(root, path), join(folder, path))
    }
  }
}

function javascript(path) {
  const source = readFileSync(join(root, path), 'utf8')
  const options = { loader: 'ts', format: 'esm', target: 'node20', sourcefile: basename(path) }
  // Every Node 20 that there is has them; esbuild means the first.
  const supported = { 'import-attributes': true }
  try {
    const { code, map } = transformSync(source, { ...options, supported, sourcemap: 'external' })
    // What is started by its address, and not imported, has the name of its source.
    const named = code.replace(/\b(new URL\("[^"]*)\.ts"/g, '$1.js"')
    return { code: `${named}//# sourceMappingURL=${basename(path, 'ts')}js.map\n`, map }
  } catch (error) {
    // It fails what imports it, and nothing else.
    const message = JSON.stringify(`${path}: ${error.message}`)
    return { code: `throw new SyntaxError(${message})\n`, map: '{}' }
  }
}
