/** The double's log, as tests ask it. */
import type { Test } from 'tap'
import { type Call, type WinsockFunction, winsockDouble } from '../support/winsock-double.js'

/** The double as it is at first, now and after the test. */
export function freshDouble(t: Test): ReturnType<typeof winsockDouble> {
  const double = winsockDouble()
  const reset = () => {
    double.reset()
    double.takeLog()
  }
  reset()
  t.teardown(reset)
  return double
}

/** What the system was told and asked, in order. */
export function names(log: readonly Call[]): Call['function'][] {
  return log
    .filter(({ phase, function: name }) => phase === 'call' && name.startsWith('WSA'))
    .map(each => each.function)
}

/** The calls of one function. */
export function calls(log: readonly Call[], name: WinsockFunction): Call[] {
  return log.filter(each => each.phase === 'call' && each.function === name)
}

/** The only call of one function. */
export function onlyCall(log: readonly Call[], name: WinsockFunction): Call {
  const [call, ...others] = calls(log, name)
  if (!call || others.length > 0) throw new Error(`${name} was called ${others.length + 1} times`)
  return call
}

/** All that was done with the socket of a call, by us and by Node, in order. */
export function story(log: readonly Call[], { socket }: Call): Call['function'][] {
  return log
    .filter(each => each.socket === socket && each.phase !== 'complete')
    .map(each => each.function)
}
