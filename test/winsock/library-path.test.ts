/**
 * A DLL that somebody has put beside the program or into the working directory must not become the
 * one that secures; and the one that does must not go while something can still come back to it.
 */
import { execFile } from 'node:child_process'
import { copyFile, link, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { noDouble } from '../support/winsock-double.js'

const run = promisify(execFile)
const program = fileURLToPath(new URL('programs/loaded-libraries.ts', import.meta.url))
const system = 'c:\\windows\\system32\\fwpuclnt.dll'

t.test('only the DLL of the system directory is loaded', { skip: noDouble }, async t => {
  // Not t.testdir(): a linked program that is running cannot be removed. Wine's goes with its prefix.
  const cwd = await mkdtemp(join(tmpdir(), 'library-path-'))
  const impostor = join(cwd, 'fwpuclnt.dll').toLowerCase()
  await copyFile(system, impostor)
  const libraries = async (node: string, ...args: string[]) => {
    const { stdout } = await run(node, [program, ...args], { cwd })
    return stdout.trim().toLowerCase()
  }
  t.equal(await libraries(process.execPath), system, 'in the working directory')

  const node = join(cwd, 'node.exe')
  await link(process.execPath, node)
  t.equal(await libraries(node), system, 'beside node.exe too')
  t.equal(await libraries(node, 'by-name'), impostor, 'from where its name alone would load it')

  // Calls of the thread may pend, and the code to which they return would not be there any more.
  const kept = await libraries(process.execPath, 'in-thread')
  t.equal(kept, system, 'it outlives the thread that has loaded it')
})
