/** Rows of texts as aligned columns: the first row is the head, the first `words` columns are words. */
export function table(rows, words = 2) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map(row => row[column].length)))
  const line = cells =>
    cells
      .map((cell, i) => (i < words ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join('  ')
      .trimEnd()
  const [head, ...body] = rows
  return [line(head), widths.map(width => '-'.repeat(width)).join('  '), ...body.map(line)].join(
    '\n',
  )
}

/** The same as Markdown. */
export function markdownTable([head, ...body], words = 2) {
  const line = cells => `| ${cells.join(' | ')} |`
  const rule = head.map((_, i) => (i < words ? '---' : '---:'))
  return [line(head), line(rule), ...body.map(line)].join('\n')
}
