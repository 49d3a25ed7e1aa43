// npm run test:hostile: the tests of a hostile network to their full extent, of which npm test goes through
// a bounded part. What uses datagram sockets runs once for each channel. It takes an hour, about.
// npm run test:hostile -- PATH… runs these only.

import { datagramTests } from './datagram-tests.mjs'
import { runPortable } from './portable-channel.mjs'
import { runTests, testsIn } from './run-tests.mjs'
import { add, summary } from './test-output.mjs'

const chosen = process.argv.slice(2)
const files = (chosen.length > 0 ? chosen : ['test/hostile']).flatMap(testsIn)
const isWanted = file => files.includes(file)

process.env.TEST_HOSTILE = 'all'
// Seconds for one file, instead of those in .taprc.
process.env.TAP_TIMEOUT = '1800'

const results = [{ name: 'hostile network', ...(await runTests(files)) }]
if ((await datagramTests()).some(isWanted))
  results.push({ name: 'portable channel', ...(await runPortable(isWanted)) })

console.log()
const total = { passed: 0, failed: 0, skipped: 0 }
for (const result of results) {
  console.log(`${result.name.padEnd(16)} ${summary(result)}`)
  add(total, result)
}
console.log(`\n${summary(total)}`)
process.exitCode = total.failed === 0 ? 0 : 1
