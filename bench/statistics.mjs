/** The value below which the given part of the values lies, interpolated. */
export function quantile(values, part) {
  const sorted = [...values].sort((a, b) => a - b)
  const position = (sorted.length - 1) * part
  const below = Math.floor(position)
  const above = Math.ceil(position)
  return sorted[below] + (sorted[above] - sorted[below]) * (position - below)
}

export const median = values => quantile(values, 0.5)
