export function plots() {
  return []
}
