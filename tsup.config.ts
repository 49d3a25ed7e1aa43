import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { transform } from 'esbuild'
import { defineConfig, type Options } from 'tsup'

const target = 'node20'

/** What a user imports. Each face becomes NAME.cjs, NAME.js, NAME.d.cts and NAME.d.ts. */
const faces = {
  index: 'src/index.ts',
  net: 'src/net.ts',
  dgram: 'src/dgram.ts',
  promises: 'src/promises.ts',
  policy: 'src/policy.ts',
  register: 'src/register.ts',
}

type Plugin = NonNullable<Options['plugins']>[number]

/**
 * Makes CommonJS of esbuild's ES modules, file by file.
 *
 * esbuild splits shared chunks only for ES modules. tsup's own CommonJS splitting rewrites `?.` and
 * `??` into helper calls, which the path of every byte would pay for; esbuild's second pass does not.
 */
const commonjs: Plugin = {
  name: 'commonjs',
  async renderChunk(code, info) {
    if (info.type !== 'chunk') return
    const result = await transform(code, {
      format: 'cjs',
      platform: 'node',
      target,
      // The name's ending makes default imports of CommonJS packages mean what they mean in Node.
      sourcefile: `${basename(info.path, '.cjs')}.mjs`,
      // As require(): works where the host allows no dynamic import, such as Jest and snapshots.
      supported: { 'dynamic-import': false },
    })
    for (const warning of result.warnings) throw new Error(`${info.path}: ${warning.text}`)
    return { code: withOwnGetters(result.code) }
  },
}

/**
 * Exports a chunk's own getters instead of esbuild's copies of them, which all are one function that
 * looks the name up: each call from one chunk into another would take fifty nanoseconds more. And has
 * V8 treat them as the prototype of something, which it makes fast: an object with many getters is a
 * dictionary otherwise, and each use of an export would be looked up by name, in ten nanoseconds.
 */
function withOwnGetters(code: string): string {
  const copies = /^var __toCommonJS = .*$/m
  if (!code.includes('module.exports = ')) return code
  if (!copies.test(code)) throw new Error('esbuild exports otherwise than it did')
  const own = `var __toCommonJS = mod => {
  __defProp(mod, '__esModule', { value: true });
  Object.create(mod);
  return mod;
};`
  return code.replace(copies, own)
}

const passedOnLines = /^export \* from ['"]node:.*$/gm

/** Keeps `export * from 'node:net'`, which esbuild forgets when another face imports this one. */
const passedOn: Plugin = {
  name: 'passed-on',
  async renderChunk(code, info) {
    if (info.type !== 'chunk' || !info.entryPoint) return
    const source = await readFile(info.entryPoint, 'utf8')
    const lines = source.match(passedOnLines) ?? []
    return { code: [code.replace(passedOnLines, ''), ...lines].join('\n') }
  },
}

/** Writes the ES module of each face: the CommonJS one's exports, by name, so no class exists twice. */
const esmFaces = (outDir: string): Plugin => ({
  name: 'esm-faces',
  async renderChunk(code, info) {
    if (info.type !== 'chunk' || !info.entryPoint) return
    const face = basename(info.path, '.cjs')
    if (!(face in faces)) return
    const names = (info.exports ?? []).filter(name => name !== 'default')
    if ((info.exports ?? []).length === 0) {
      await writeFile(join(outDir, `${face}.js`), required(face))
      return undefined
    }
    const lines = [
      `import face from './${face}.cjs'`,
      `export const { ${names.join(', ')} } = face`,
      `export default face.default ?? face`,
      // What a face passes on from Node differs between Node versions, so Node names it.
      ...(code.match(passedOnLines) ?? []),
    ]
    await writeFile(join(outDir, `${face}.js`), `${lines.join('\n')}\n`)
    return undefined
  },
})

/**
 * What gives nothing is loaded for what it does, before a program: by require(), since Node would look
 * through an imported file of CommonJS for its exports, which takes 30 ms.
 */
function required(face: string): string {
  return `import { createRequire } from 'node:module'\ncreateRequire(import.meta.url)('./${face}.cjs')\n`
}

export default defineConfig(async ({ outDir = 'dist' }) => {
  await rm(outDir, { recursive: true, force: true })
  await mkdir(outDir, { recursive: true })
  return [
    {
      entry: { ...faces, cli: 'src/cli/main.ts' },
      outDir,
      target,
      platform: 'node',
      format: 'esm',
      splitting: true,
      outExtension: () => ({ js: '.cjs' }),
      external: ['koffi'],
      // The output is CommonJS, where createRequire() takes the file's name.
      define: { 'import.meta.url': '__filename' },
      removeNodeProtocol: false,
      silent: true,
      plugins: [passedOn, esmFaces(outDir), commonjs],
    },
    {
      entry: faces,
      outDir,
      format: ['esm', 'cjs'],
      dts: { only: true },
      silent: true,
    },
  ]
})
