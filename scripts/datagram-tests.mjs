// Which test files use secured datagram sockets: those that run once more for each channel.

import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** What a file that uses such a socket cannot do without. */
const theClass = 'src/sockets/secure-dgram-socket.ts'
/** The same for programs of others, which use the package as it is built. */
const thePackage = 'test/examples/built.ts'

/** Tests of other systems, and of the packed package, which packs the same code for every channel. */
const elsewhere = ['test/winsock/', 'test/package/']

/**
 * Found by what a file imports, itself or through others, and not by a list that somebody must keep.
 * What is imported for its types alone does not count.
 *
 * @param {boolean} [built] also those of the package as it is built
 * @returns {Promise<string[]>} paths from the project's root, sorted
 */
export async function datagramTests(built = true) {
  const signs = built ? [theClass, thePackage] : [theClass]
  const { build } = await import('esbuild')
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: testFiles(),
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    metafile: true,
    write: false,
    outdir: 'not-written',
    logLevel: 'error',
    plugins: [programsToo],
  })
  return Object.values(metafile.outputs)
    .filter(({ entryPoint, inputs }) => entryPoint && signs.some(sign => holds(inputs, sign)))
    .map(({ entryPoint }) => entryPoint)
    .sort()
}

/** What a test starts as a process or a thread of its own, it names by such a URL. */
const programsToo = {
  name: 'programs too',
  setup(build) {
    build.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8')
      const named = source.matchAll(/new URL\('([\w./-]+\.ts)', import\.meta\.url\)/g)
      const imports = Array.from(named, ([, file]) => `import ${JSON.stringify(`./${file}`)}\n`)
      return { contents: source + imports.join(''), loader: 'ts' }
    })
  },
}

/** An import of which nothing is used is listed too, with no bytes. */
function holds(inputs, file) {
  return (inputs[file]?.bytesInOutput ?? 0) > 0
}

function testFiles() {
  return readdirSync(join(root, 'test'), { recursive: true })
    .map(file => `test/${file}`.replaceAll('\\', '/'))
    .filter(file => file.endsWith('.test.ts'))
    .filter(file => !elsewhere.some(folder => file.startsWith(folder)))
}
