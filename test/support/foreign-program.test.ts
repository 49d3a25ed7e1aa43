import t from 'tap'
import { requireProgram } from './foreign-program.js'

// A peer that is silently missing would let every interop test pass without having met its peer.

t.test('an installed program is found by its name', async t => {
  t.match(requireProgram(t, 'node'), /node/)
})

t.test('a missing program skips the test on a developer’s machine', async t => {
  const { outcome, path } = requireMissing(undefined)
  t.equal(path, undefined)
  t.equal(outcome, 'skip')
})

t.test('a missing program fails the test in CI', async t => {
  t.equal(requireMissing('true').outcome, 'fail')
})

function requireMissing(ci: string | undefined) {
  const before = process.env.CI
  const recorder = { outcome: '', pass: record('skip'), fail: record('fail') }
  try {
    setCI(ci)
    const path = requireProgram(recorder as never, 'no-such-program')
    return { outcome: recorder.outcome, path }
  } finally {
    setCI(before)
  }
}

function record(outcome: string) {
  return function (this: { outcome: string }) {
    this.outcome = outcome
  }
}

function setCI(value: string | undefined) {
  if (value === undefined) delete process.env.CI
  else process.env.CI = value
}
