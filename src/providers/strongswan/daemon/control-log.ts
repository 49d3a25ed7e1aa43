/**
 * What the daemon tells while it negotiates (events control-log). Why it failed stands only there,
 * among other lines. A peer can cause as many as it likes, so all that is kept is the best reason
 * and the last few lines.
 */

import { type Section, textOf } from '../vici/section.js'
import { quoted } from './errors.js'
import { type Reason, reasons } from './failure-reasons.js'

const LINES = 20

export class ControlLog {
  /** The last lines, oldest first, fit for printing. */
  readonly lines: string[] = []
  /** The peer has answered something. */
  heard = false
  #best = reasons.length
  #line: RegExpMatchArray | undefined

  /** An event control-log. */
  add(event: Section): void {
    const text = textOf(event, 'msg')
    if (text === undefined) return
    const line = quoted(text)
    this.lines.push(line)
    if (this.lines.length > LINES) this.lines.shift()
    if (line.startsWith('received packet')) this.heard = true
    // The first in the table wins, and of its lines the last.
    for (let index = 0; index <= this.#best && index < reasons.length; index++) {
      const match = line.match((reasons[index] as Reason).line)
      if (match === null) continue
      this.#best = index
      this.#line = match
      return
    }
  }

  /** Why it failed, and the line that says so. */
  get reason(): { reason: Reason; line: RegExpMatchArray } | undefined {
    return this.#line && { reason: reasons[this.#best] as Reason, line: this.#line }
  }
}
