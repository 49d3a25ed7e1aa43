const TERMINATION = ['SIGHUP', 'SIGINT', 'SIGTERM'] as const

/**
 * Before a signal ends this process, peers are told. A second signal does not wait for it.
 * @returns takes it back
 */
export function onTermination(end: () => Promise<void>): () => void {
  const forget = () => {
    for (const signal of TERMINATION) process.off(signal, handle)
  }
  const handle = (signal: NodeJS.Signals) => {
    forget()
    const die = () => process.kill(process.pid, signal)
    end().then(die, die)
  }
  for (const signal of TERMINATION) process.on(signal, handle)
  return forget
}
