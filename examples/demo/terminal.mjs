// How the demo looks: colours and boxes in a terminal, plain ASCII anywhere else.

import { stripVTControlCharacters } from 'node:util'

const MIN_WIDTH = 40
const MAX_WIDTH = 142

const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36, danger: '30;41' }
const boxes = {
  rich: { top: '╭─╮', side: '│', bottom: '╰─╯' },
  plain: { top: '+-+', side: '|', bottom: '+-+' },
}

/**
 * @param {NodeJS.WriteStream} stream
 * @param {NodeJS.ProcessEnv} env
 */
export function createTerminal(stream, env) {
  const rich = Boolean(stream.isTTY) && !env.NO_COLOR && env.TERM !== 'dumb'
  const width = Math.max(MIN_WIDTH, Math.min(MAX_WIDTH, stream.columns || 80))
  const box = rich ? boxes.rich : boxes.plain
  const symbols = rich
    ? { yes: '✓', no: '✗', to: '→', more: '…', line: '─' }
    : { yes: '[ok]', no: '[!!]', to: '->', more: '...', line: '-' }
  /** Half of the width, or all of it where half would be too little. */
  const panelWidth = width >= 76 ? Math.floor((width - 1) / 2) : width

  return { rich, width, symbols, style, print, panels, innerWidth: panelWidth - 4, fit }

  function style(text, ...names) {
    if (!rich) return text
    return `\x1b[${names.map(name => codes[name]).join(';')}m${text}\x1b[0m`
  }

  function print(...lines) {
    for (const line of lines.length === 0 ? [''] : lines) stream.write(`${line.trimEnd()}\n`)
  }

  /** Boxes side by side, equally high; below each other where there is no room. */
  function panels(...contents) {
    const height = Math.max(...contents.map(({ lines }) => lines.length))
    if (panelWidth === width) {
      for (const each of contents) print(...panel(each, each.lines.length))
      return
    }
    const [left, right] = contents.map(each => panel(each, height))
    print(...left.map((line, row) => `${line} ${right[row]}`))
  }

  function panel({ title, lines, colour }, height) {
    const paint = text => style(text, colour)
    const edge = ([left, line, right], text = '') =>
      `${paint(`${left}${line}`)}${text}${paint(line.repeat(panelWidth - 3 - columns(text)) + right)}`
    const rows = [...lines, ...Array(height - lines.length).fill('')]
    return [
      edge(box.top, ` ${style(title, 'bold')} `),
      ...rows.map(row => `${paint(box.side)} ${pad(row, panelWidth - 4)} ${paint(box.side)}`),
      edge(box.bottom),
    ]
  }

  /** Cuts plain text that has no room. */
  function fit(text, room) {
    return text.length <= room ? text : text.slice(0, room - symbols.more.length) + symbols.more
  }
}

/** Text as lines of at most so many columns, broken between words. */
export function wrap(text, room) {
  const lines = ['']
  for (const word of text.split(' ')) {
    const longer = lines.at(-1) === '' ? word : `${lines.at(-1)} ${word}`
    if (longer.length <= room) lines[lines.length - 1] = longer
    else lines.push(word)
  }
  return lines
}

/** Fills up with spaces; styled text may be given. */
export function pad(text, width) {
  return text + ' '.repeat(Math.max(0, width - columns(text)))
}

/** One text at the left edge and one at the right. */
export function spread(left, right, width) {
  return pad(left, width - columns(right)) + right
}

function columns(text) {
  return stripVTControlCharacters(text).length
}

/**
 * Bytes as hex and ASCII, as many a row as have room.
 * @param {Buffer} bytes
 * @param {number} room columns
 * @param {(hexOrCharacter: string, index: number) => string} paint styles a byte
 */
export function hexDump(bytes, room, paint = text => text) {
  const perRow = rowLength(room)
  const rows = []
  for (let start = 0; start < bytes.length; start += perRow) {
    const row = [...bytes.subarray(start, start + perRow)]
    const hex = row.map((byte, i) => paint(byte.toString(16).padStart(2, '0'), start + i))
    const ascii = row.map((byte, i) => paint(printable(byte), start + i))
    rows.push(`${pad(hex.join(' '), perRow * 3 - 1)}  ${ascii.join('')}`)
  }
  return rows
}

/** How many bytes of a hex dump a row has room for: a multiple of 4, at most 16. */
export function rowLength(room) {
  return Math.max(4, Math.min(16, Math.floor((room - 1) / 16) * 4))
}

function printable(byte) {
  return byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.'
}
