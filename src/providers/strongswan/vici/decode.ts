/**
 * Messages of the daemon, from bytes. Whoever answers on that path is not trusted to keep the rules:
 * what is not exactly a message is refused, and nothing is allocated for a length that is only told.
 */
import {
  KEY_VALUE,
  LIST_END,
  LIST_ITEM,
  LIST_START,
  MAX_DEPTH,
  SECTION_END,
  SECTION_START,
} from './elements.js'
import type { Section } from './section.js'

/** `latin1` keeps every byte, for values that are no text: `Buffer.from(value, 'latin1')`. */
export type ValueEncoding = 'utf8' | 'latin1'

type Building = Record<string, string | string[] | Section>

/** @throws Error that says what is wrong with the message */
export function decodeMessage(bytes: Buffer, encoding: ValueEncoding = 'utf8'): Section {
  const root: Building = Object.create(null)
  const open: Building[] = []
  let section = root
  let list: string[] | undefined
  let at = 0

  function take(length: number): Buffer {
    const end = at + length
    if (end > bytes.length) throw new Error(`it ends inside of an element at byte ${at}`)
    const taken = bytes.subarray(at, end)
    at = end
    return taken
  }
  const byte = () => take(1)[0] as number
  const value = () => take(take(2).readUInt16BE()).toString(encoding)

  /** Of two elements with the same name one would be lost, and with it what the daemon has said. */
  function newName(): string {
    const name = take(byte()).toString('latin1')
    if (name in section) throw new Error(`a section has two elements of the same name`)
    return name
  }

  while (at < bytes.length) {
    const type = byte()
    if ((type === LIST_ITEM || type === LIST_END) !== (list !== undefined))
      throw new Error(`an element of type ${type} ${list ? 'inside' : 'outside'} of a list`)
    if (type === KEY_VALUE) {
      const name = newName()
      section[name] = value()
    } else if (type === LIST_ITEM) {
      list?.push(value())
    } else if (type === LIST_END) {
      list = undefined
    } else if (type === LIST_START) {
      list = []
      section[newName()] = list
    } else if (type === SECTION_START) {
      if (open.length === MAX_DEPTH) throw new Error(`sections are more than ${MAX_DEPTH} deep`)
      const inner: Building = Object.create(null)
      section[newName()] = inner
      open.push(section)
      section = inner
    } else if (type === SECTION_END) {
      const outer = open.pop()
      if (outer === undefined) throw new Error('more sections end than begin')
      section = outer
    } else {
      throw new Error(`an element of the unknown type ${type}`)
    }
  }
  if (list !== undefined || open.length > 0) throw new Error('a list or a section does not end')
  return root
}
