/** Where there is no batch channel, the reason says what is missing, and nothing is tried. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import type * as Availability from '../../../src/channels/batch/availability.js'
import { inOneFile } from '../../support/one-file.js'

const notHere = process.platform !== 'linux' && 'it is not'

/** Of a thread that has not asked yet. */
function fresh(): Promise<typeof Availability> {
  return t.mockImport('../../../src/channels/batch/availability.js')
}

t.test('systems and processors that it is not for', async t => {
  const cases = [
    ['darwin', 'arm64', 'it needs Linux, and this is darwin'],
    ['win32', 'x64', 'it needs Linux, and this is win32'],
    ['linux', 'ia32', /not made for the processor ia32/],
    ['linux', 's390x', /not made for the processor s390x/],
  ] as const
  for (const [platform, arch, reason] of cases) {
    const restored = [
      t.intercept(process, 'platform', { value: platform }),
      t.intercept(process, 'arch', { value: arch }),
    ]
    const { batchAvailable, batchUnavailable } = await fresh()
    t.match(batchUnavailable(), reason)
    t.equal(batchAvailable(), false)
    for (const { restore } of restored) restore()
  }
})

t.test('on Linux', { skip: notHere }, async t => {
  const { batchAvailable, batchUnavailable } = await fresh()
  t.equal(batchUnavailable(), undefined)
  t.equal(batchAvailable(), true)

  const program = await inOneFile(t, new URL('availability-program.ts', import.meta.url))
  const says = async (command: string) => {
    const { stdout } = await promisify(execFile)('/bin/sh', ['-c', command])
    return stdout.trim().split('\n')
  }
  const node = `'${process.execPath}'`

  await t.test('where native code is forbidden', async t => {
    const [said] = await says(`${node} --no-addons '${program}'`)
    t.match(said, /koffi/)
  })

  await t.test('where there is no descriptor left, until there is one again', async t => {
    t.same(await says(`ulimit -n 60; ${node} '${program}' exhausted`), [
      'socket EMFILE',
      'available',
    ])
  })
})
