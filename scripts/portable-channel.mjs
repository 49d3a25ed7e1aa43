// Runs the tests of datagram sockets over the portable channel, where the usual run had the batch one.
// node scripts/portable-channel.mjs [BEGINNING…]: those whose paths begin so, `test/interop`; or all.

import { fileURLToPath } from 'node:url'
import { datagramTests } from './datagram-tests.mjs'
import { runTap, summary } from './tap.mjs'

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const wanted = process.argv.slice(2)
  const result = await runPortable(
    file => wanted.length === 0 || wanted.some(beginning => file.startsWith(beginning)),
  )
  console.log(`\n${summary(result)}`)
  process.exitCode = result.failed === 0 ? 0 : 1
}

/**
 * @param {(file: string) => boolean} isWanted
 * @returns {Promise<{passed: number, failed: number, skipped: number}>}
 */
export async function runPortable(isWanted) {
  if (process.platform !== 'linux') {
    console.log('\nThis system has no other channel: the tests have used the portable one.')
    return { passed: 0, failed: 0, skipped: 0 }
  }
  const files = (await datagramTests()).filter(isWanted)
  if (files.length === 0) throw new Error('no test of datagram sockets is there')
  return await runTap(files, { SECURE_SOCKET_CHANNEL: 'portable' })
}
