/** The workers of a cluster are secured each for itself, on a port that they share where the policy lets them. */
import https from 'node:https'
import t from 'tap'
import { built } from '../examples/built.js'
import { text } from '../support/events.js'
import { testIdentity } from '../support/identities.js'
import { policyFile, registered } from './registered.js'

t.before(built)

const { ca } = await testIdentity()

t.test('with sharePort they accept secured connections by turns', async t => {
  const policy = await policyFile(t, { servers: { sharePort: true } })
  const program = registered(t, ['cluster.cjs'], { policy })
  const [, port] = await program.said(/listens at (\d+)\n(?:.*\n)*listens at \1\n/, 30_000)
  const answers = new Set<string>()
  for (let count = 0; count < 4; count += 1) answers.add(await answer(Number(port)))
  t.strictSame([...answers].sort(), ['1: secured', '2: secured'])
})

t.test('without it they are told, and nothing listens', async t => {
  const program = registered(t, ['cluster.cjs'], { policy: await policyFile(t) })
  await program.said(/(worker: EINVAL: cluster sharing .*sharePort[\s\S]*){2}/, 30_000)
  t.notMatch(program.output, /listens at/)
})

/** Under one layer of TLS, and no more. */
function answer(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, ca, agent: false }
    https.get(options, response => resolve(text(response))).on('error', reject)
  })
}
