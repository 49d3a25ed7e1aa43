// Groups of horizontal bars as one SVG, readable on light and dark pages.

const width = 760
const left = 210
const right = 70
const barHeight = 15
const barStep = 20
const groupGap = 42
const top = 74

/** Ratios beyond it are cut off: a floor that is ten times as fast must not flatten the rest. */
const longest = 2.5

/**
 * @param {{ title: string, subtitle: string, groups: { title: string, note: string, target?: number,
 *   bars: { label: string, value: number, strong: boolean }[] }[] }} content values are ratios to 1
 */
export function chart({ title, subtitle, groups }) {
  const parts = []
  let y = top
  for (const group of groups) {
    parts.push(drawGroup(group, y))
    y += group.bars.length * barStep + groupGap
  }
  const height = y - 8
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(`${title}. ${subtitle}`)}">
<style>${style}</style>
<rect class="page" width="${width}" height="${height}" rx="6"/>
<text class="title" x="20" y="30">${escaped(title)}</text>
<text class="note" x="20" y="50">${escaped(subtitle)}</text>
${parts.join('\n')}
</svg>
`
}

function drawGroup({ title, note, target, bars }, y) {
  const bottom = y + 10 + bars.length * barStep
  const lines = [
    `<text class="group" x="20" y="${y}">${escaped(title)}</text>`,
    `<text class="note" x="${width - 20}" y="${y}" text-anchor="end">${escaped(target ? `${note}, our target ${target}` : note)}</text>`,
    ...bars.map((bar, i) => drawBar(bar, y + 10 + i * barStep)),
    `<line class="one" x1="${x(1)}" x2="${x(1)}" y1="${y + 7}" y2="${bottom - 2}"/>`,
  ]
  const strong = bars.findIndex(bar => bar.strong)
  if (target && strong >= 0) {
    const at = y + 10 + strong * barStep
    lines.push(
      `<line class="target" x1="${x(target)}" x2="${x(target)}" y1="${at - 2}" y2="${at + barHeight + 2}"/>`,
    )
  }
  // The words last, so that no line crosses them.
  return [...lines, ...bars.map((bar, i) => drawValue(bar, y + 10 + i * barStep))].join('\n')
}

function drawBar({ label, value, strong }, y) {
  const cut = value > longest
  const end = x(Math.min(value, longest))
  const middle = y + barHeight / 2
  const outline = cut
    ? `M${left} ${y}H${end - 6}L${end} ${middle}L${end - 6} ${y + barHeight}H${left}Z`
    : `M${left} ${y}H${end}V${y + barHeight}H${left}Z`
  return [
    `<text class="label" x="${left - 8}" y="${middle + 4}" text-anchor="end">${escaped(label)}</text>`,
    `<path class="${strong ? 'ours' : 'other'}" d="${outline}"/>`,
  ].join('\n')
}

function drawValue({ value }, y) {
  const end = x(Math.min(value, longest))
  return `<text class="value" x="${end + 6}" y="${y + barHeight / 2 + 4}">${value.toFixed(2)}</text>`
}

function x(value) {
  return Math.round(left + (value / longest) * (width - left - right))
}

function escaped(text) {
  return text.replace(/[&<>"]/g, character => `&#${character.charCodeAt(0)};`)
}

const style = `
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.group { font-weight: 600 }
.note { fill: #59636e; font-size: 11px }
.page { fill: #ffffff }
.value { paint-order: stroke; stroke: #ffffff; stroke-width: 3px }
.ours { fill: #1a7f5a }
.other { fill: #b6bfc9 }
.one { stroke: #59636e; stroke-dasharray: 2 2 }
.target { stroke: #bc4c00; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .note { fill: #9198a1 }
  .page { fill: #0d1117 }
  .value { stroke: #0d1117 }
  .ours { fill: #3fb984 }
  .other { fill: #4c5663 }
  .one { stroke: #9198a1 }
  .target { stroke: #f0883e }
}`
