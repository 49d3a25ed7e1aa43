import { quantile } from '../statistics.mjs'

/** How often the loop is asked, in milliseconds. */
const interval = 2

/** Watches how late the timers of this process come: milliseconds. */
export function watchLoop() {
  const late = []
  let due
  let timer
  next()
  return {
    stop() {
      clearTimeout(timer)
      return { median: quantile(late, 0.5), most: Math.max(...late) }
    },
  }

  function next() {
    due = performance.now() + interval
    timer = setTimeout(look, interval)
  }

  function look() {
    late.push(Math.max(0, performance.now() - due))
    next()
  }
}
