// Runs the tests of datagram sockets over the portable channel, where the usual run had the batch one.
// node scripts/portable-channel.mjs [BEGINNING…]: those whose paths begin so, `test/interop`; or all, but
// with --no-build those only that need no built package.

import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { datagramTests } from './datagram-tests.mjs'
import { runTests } from './run-tests.mjs'
import { summary } from './test-output.mjs'

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values, positionals } = parseArgs({
    options: { 'no-build': { type: 'boolean', default: false } },
    allowPositionals: true,
  })
  const isWanted = file =>
    positionals.length === 0 || positionals.some(beginning => file.startsWith(beginning))
  const result = await runPortable(isWanted, !values['no-build'])
  console.log(`\n${summary(result)}`)
  process.exitCode = result.failed === 0 ? 0 : 1
}

/**
 * @param {(file: string) => boolean} isWanted
 * @param {boolean} [built] also the tests of the built package
 * @returns {Promise<{passed: number, failed: number, skipped: number}>}
 */
export async function runPortable(isWanted, built = true) {
  if (process.platform !== 'linux') {
    console.log('\nThis system has no other channel: the tests have used the portable one.')
    return { passed: 0, failed: 0, skipped: 0 }
  }
  const files = (await datagramTests(built)).filter(isWanted)
  if (files.length === 0) throw new Error('no test of datagram sockets is there')
  return await runTests(files, { SECURE_SOCKET_CHANNEL: 'portable' })
}
