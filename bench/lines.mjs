// A row or more of small line plots as one SVG, readable on light and dark pages. Both scales are
// logarithmic: a step to the right is twice as much, a step up is twice as fast.

const width = 960
const margin = { left: 46, right: 16, top: 30, bottom: 44 }
const panelHeight = 230
const legendColumns = 4

/**
 * @param {{ title: string, subtitle: string, xTitle: string, steps: number[], range: [number, number],
 *   series: { key: string, label: string, style: string }[],
 *   rows: { title: string, values: Record<string, (number | undefined)[]>,
 *     targets: { step: number, value: number }[] }[][] }} content `steps`: what stands below; `range`:
 *   powers of 2; `values`: for each series as many as there are steps; `style`: one of `colours`
 */
export function lines(content) {
  const { title, subtitle, series, rows } = content
  const columns = Math.max(...rows.map(row => row.length))
  const size = { width: (width - 24) / columns, height: panelHeight }
  const legendRows = Math.ceil(series.length / legendColumns)
  const top = 66 + legendRows * 20 + 14
  const panels = rows.flatMap((row, i) =>
    row.map((panel, j) =>
      drawPanel(content, panel, { x: 12 + j * size.width, y: top + i * size.height, ...size }),
    ),
  )
  const height = top + rows.length * size.height + 10
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(`${title}. ${subtitle}`)}">
<style>${style}</style>
<rect class="page" width="${width}" height="${height}" rx="6"/>
<text class="title" x="20" y="30">${escaped(title)}</text>
<text class="note" x="20" y="50">${escaped(subtitle)}</text>
${series.map(drawKey).join('\n')}
${panels.join('\n')}
</svg>
`
}

function drawKey({ label, style }, i) {
  const x = 20 + (i % legendColumns) * ((width - 40) / legendColumns)
  const y = 76 + Math.floor(i / legendColumns) * 20
  return [
    `<path class="line ${style}" d="M${x} ${y - 4}h26"/>`,
    `<text x="${x + 33}" y="${y}">${escaped(label)}</text>`,
  ].join('\n')
}

function drawPanel({ steps, range, series, xTitle }, { title, values, targets }, place) {
  const left = place.x + margin.left
  const right = place.x + place.width - margin.right
  const top = place.y + margin.top
  const bottom = place.y + place.height - margin.bottom
  const [low, high] = range.map(Math.log2)
  const xOf = i => round(left + (i / (steps.length - 1)) * (right - left))
  const yOf = value => {
    const part = (Math.log2(value) - low) / (high - low)
    return round(bottom - Math.min(1, Math.max(0, part)) * (bottom - top))
  }
  const marks = Array.from({ length: high - low + 1 }, (_, i) => 2 ** (low + i))
  return [
    `<text class="group" x="${left}" y="${place.y + 16}">${escaped(title)}</text>`,
    ...marks.map(
      mark =>
        `<path class="grid${mark === 1 ? ' one' : ''}" d="M${left} ${yOf(mark)}H${right}"/>` +
        `<text class="note" x="${left - 6}" y="${yOf(mark) + 4}" text-anchor="end">${fraction(mark)}</text>`,
    ),
    ...steps.map(
      (step, i) =>
        `<text class="note" x="${xOf(i)}" y="${bottom + 16}" text-anchor="middle">${step}</text>`,
    ),
    `<text class="note" x="${(left + right) / 2}" y="${bottom + 32}" text-anchor="middle">${escaped(xTitle)}</text>`,
    ...series.map(({ key, style }) => drawLine(values[key] ?? [], style, xOf, yOf)),
    ...targets.map(({ step, value }) => {
      const x = xOf(steps.indexOf(step))
      return `<path class="target" d="M${x - 9} ${yOf(value)}h18"/>`
    }),
  ].join('\n')
}

function drawLine(values, style, xOf, yOf) {
  const points = values.flatMap((value, i) =>
    value === undefined ? [] : [`${xOf(i)} ${yOf(value)}`],
  )
  if (points.length === 0) return ''
  const dots = points.map(point => {
    const [x, y] = point.split(' ')
    return `<circle class="dot ${style}" cx="${x}" cy="${y}" r="2.4"/>`
  })
  return `<path class="line ${style}" d="M${points.join('L')}"/>${dots.join('')}`
}

/** As people write it: 1/4, not 0.25. */
function fraction(value) {
  return value >= 1 ? String(value) : `1/${1 / value}`
}

const round = value => Math.round(value * 10) / 10

function escaped(text) {
  return text.replace(/[&<>"]/g, character => `&#${character.charCodeAt(0)};`)
}

/** The class of a series, and its colour on a light and on a dark page. */
const colours = {
  ours: ['#1a7f5a', '#3fb984'],
  'ours-too': ['#1a7f5a', '#3fb984'],
  limit: ['#1f2328', '#f0f6fc'],
  plain: ['#59636e', '#9198a1'],
  'plain-too': ['#8c959f', '#6e7681'],
  third: ['#8250df', '#ab7df8'],
  fourth: ['#0969da', '#4493f8'],
}

const coloured = dark =>
  Object.entries(colours)
    .map(([name, pair]) => [name, pair[dark]])
    .map(([name, colour]) => `.line.${name} { stroke: ${colour} } .dot.${name} { fill: ${colour} }`)
    .join('\n')

const style = `
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.group { font-weight: 600 }
.note { fill: #59636e; font-size: 11px }
.page { fill: #ffffff }
.grid { stroke: #d9dee3 }
.grid.one { stroke: #59636e; stroke-width: 1.5 }
.target { stroke: #bc4c00; stroke-width: 3 }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round }
.line.ours { stroke-width: 3.2 }
.line.limit { stroke-width: 2; stroke-dasharray: 2 3 }
.line.ours-too, .line.plain-too { stroke-dasharray: 6 3 }
${coloured(0)}
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.note { fill: #9198a1 }
.page { fill: #0d1117 }
.grid { stroke: #2b323b }
.grid.one { stroke: #9198a1 }
.target { stroke: #f0883e }
${coloured(1)}
}`
