/** What a secured datagram socket may be bound to (R9), and the calls that wait for it. */

import cluster from 'node:cluster'
import { defaultDatagramSettings } from '../../model/defaults.js'
import { SocketSecurityError } from '../../model/errors.js'
import { peerText } from '../../model/peer-text.js'
import { hostKey } from './addresses.js'
import type { DgramState } from './state.js'
import type { WaitingCall } from './waiting.js'

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
      `the processes of a cluster cannot share one datagram socket, since each has keys of its own: ${notShared}`,
      { syscall },
    )
  }
  const sharing = state.reuse ?? (shared ? 'cluster sharing' : undefined)
  if (sharing && !sharePort) {
    throw new SocketSecurityError(
      'EINVAL',
      `${sharing} lets other processes take the port of a secured socket: ${shared ? notShared : 'set security.sharePort to allow it'}`,
      { syscall },
    )
  }
}

const notShared =
  'create it with reusePort: true and set security.sharePort, so that each process has a socket of its own on the port; or give bind() exclusive: true, for a port that no other process has'

/** Does what goes there have to wait for the binding, or for a target name that is being looked up? */
export function mustWait(state: DgramState, host: string, port: number): boolean {
  return state.bind !== 'bound' || isHeldUp(state, host) || state.waiting.has(host, port)
}

/** Fails with ENOBUFS where too much waits already. */
export function wait(state: DgramState, call: WaitingCall): void {
  const limits = state.settings ?? defaultDatagramSettings
  if (!state.waiting.add(call, limits)) call.fail(tooMuchWaits(call.host, call.port))
}

/** Runs what has waited, as far as it need not wait any longer. */
export function runWaiting(state: DgramState): void {
  if (state.bind === 'bound') state.waiting.run(({ host }) => isHeldUp(state, host))
}

function isHeldUp({ nameLookups }: DgramState, host: string): boolean {
  return nameLookups.size > 0 && nameLookups.has(hostKey(host))
}

function tooMuchWaits(host: string, port: number): Error {
  const peer = peerText(host, port)
  return new SocketSecurityError(
    'ENOBUFS',
    `too much waits for ${peer}: send less until it can leave, or raise maxQueuedDatagrams and maxQueuedBytes`,
    { syscall: 'send', peer },
  )
}

/** reusePort shares the port, not a descriptor of the cluster's: newer versions of Node see to it themselves. */
export function exclusively(args: unknown[]): unknown[] {
  const [port, address] = args
  const callback = args.at(-1)
  const options =
    typeof port === 'object' && port !== null
      ? { ...port, exclusive: true }
      : { port, address: typeof address === 'function' ? '' : address, exclusive: true }
  return typeof callback === 'function' ? [options, callback] : [options]
}

/** The port that the arguments of bind() ask for. */
export function portOf(options: unknown): unknown {
  return typeof options === 'object' && options !== null
    ? (options as { port?: unknown }).port
    : typeof options === 'number' || typeof options === 'string'
      ? Number(options)
      : undefined
}
