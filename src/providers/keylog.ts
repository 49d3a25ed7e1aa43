/** Whoever asks for the secrets is warned, once. */
let warned = false

export function warnOfKeylog(): void {
  if (warned) return
  warned = true
  process.emitWarning(
    "security.keylog is on: the 'keylog' event gives the secrets of every connection to whoever listens",
  )
}
