/** What a secured datagram socket may be bound to (R9), and the calls that wait for it. */
import cluster from 'node:cluster'
import { SocketSecurityError } from '../model/errors.js'
import type { DgramState, Waiting } from './dgram-state.js'

const syscall = 'WSASetSocketSecurity'

/**
 * @param options the first argument of bind()
 * @throws SocketSecurityError EINVAL, EOPNOTSUPP
 */
export function checkBind(state: DgramState, options: unknown): void {
  const { fd, recvStart, exclusive } = Object(options) as Record<string, unknown>
  if ((typeof fd === 'number' && fd > 0) || typeof recvStart === 'function') {
    throw new SocketSecurityError(
      'EOPNOTSUPP',
      'a descriptor that exists already cannot be secured: give bind() an address and a port',
      { syscall },
    )
  }
  const sharePort = state.settings?.sharePort ?? false
  const shared = cluster.isWorker && !exclusive && state.reuse !== 'reusePort'
  if (shared && sharePort) {
    throw new SocketSecurityError(
      'EOPNOTSUPP',
      'the processes of a cluster cannot share one datagram socket, since each has keys of its own: give bind() exclusive: true, or the socket reusePort',
      { syscall },
    )
  }
  const sharing = state.reuse ?? (shared ? 'cluster sharing' : undefined)
  if (sharing && !sharePort) {
    throw new SocketSecurityError(
      'EINVAL',
      `${sharing} lets other processes take the port of a secured socket: set security.sharePort to allow it`,
      { syscall },
    )
  }
}

/** Does a call have to wait for the binding, or for a target name that is being looked up? */
export function mustWait(state: DgramState): boolean {
  return state.bind !== 'bound' || state.nameLookups > 0 || state.waiting !== null
}

export function wait(state: DgramState, call: Waiting): void {
  state.waiting ??= []
  state.waiting.push(call)
}

/** Runs what has waited, in order, as far as it need not wait any longer. */
export function runWaiting(state: DgramState): void {
  const { waiting } = state
  if (waiting === null || state.bind !== 'bound' || state.nameLookups > 0) return
  // What comes meanwhile goes behind it.
  try {
    for (let call = waiting.shift(); call; call = waiting.shift()) call.run()
  } finally {
    if (waiting.length === 0) state.waiting = null
    // Somebody's callback has thrown.
    else process.nextTick(runWaiting, state)
  }
}

/** Nothing of what waits will happen. */
export function failWaiting(state: DgramState, error: Error): void {
  const waiting = state.waiting ?? []
  state.waiting = null
  for (const call of waiting) call.fail(error)
}

/** The port that the arguments of bind() ask for. */
export function portOf(options: unknown): unknown {
  return typeof options === 'object' && options !== null
    ? (options as { port?: unknown }).port
    : typeof options === 'number' || typeof options === 'string'
      ? Number(options)
      : undefined
}
