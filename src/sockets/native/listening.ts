/**
 * Listening on a socket of our own making: prepared, taken by a handle of Node's, bound (where the
 * provider has not done it), and then net.Server's. It happens inside of net.Server's own listen(), which has read its arguments, looked
 * up the host, and says in its own words what goes wrong.
 */
import type { Server } from 'node:net'
import { SocketSecurityError } from '../../model/errors.js'
import type { NativeDescriptor } from '../../providers/provider.js'
import { internals, net, netSocket, type TcpHandle } from '../net-internals.js'
import { beforeClose } from './before-close.js'
import type { Open } from './own-socket.js'

/** What net.Server knows then. */
interface Where {
  /** None: all addresses of both families, else of IPv4. */
  readonly address: string | null
  readonly port: number
  readonly family: number
  readonly backlog: unknown
  /** libuv's UV_TCP_IPV6ONLY and UV_TCP_REUSEPORT. */
  readonly flags: unknown
}

export interface ListenObserver {
  /** A socket is being made; `stop` gives it up, and closes what comes late. */
  begins(stop: () => void): void
  /** May a handle listen that was given to listen(), or a descriptor? */
  acceptsGiven(): boolean
  refused(): void
  /** The handle that listens; net.Server's from now on. */
  listens(handle: object): void
  failed(error: Error): void
}

interface ServerHandle extends TcpHandle {
  bind(address: string, port: number, flags?: unknown): number
  bind6(address: string, port: number, flags?: unknown): number
  listen(backlog: number): number
}

/** net.Server's own step, which looks whether there is a handle already. */
const listen2 = Reflect.get(net.Server.prototype, '_listen2') as
  | ((this: object, ...where: unknown[]) => void)
  | undefined

/**
 * Lets `server` listen on what `open` makes, from its next listen() on.
 * @throws SocketSecurityError ERR_PROVIDER_UNAVAILABLE
 */
export function putUnder(server: Server, open: Open, observer: ListenObserver): void {
  if (typeof listen2 !== 'function') {
    throw new SocketSecurityError(
      'ERR_PROVIDER_UNAVAILABLE',
      'this version of Node lets no socket of ours be put under a server: nothing listens',
    )
  }
  const base = listen2
  const value = (...given: unknown[]) => {
    const [address, port, family, backlog, fd, flags] = given as [string | null, ...number[]]
    if (!internals(server)._handle && typeof fd !== 'number') {
      const where = { address, port: Number(port), family: Number(family), backlog, flags }
      listenOn(server, where, open, observer, base)
    } else if (observer.acceptsGiven()) {
      base.apply(server, given)
    } else {
      observer.refused()
    }
  }
  Object.defineProperty(server, '_listen2', { value, configurable: true, writable: true })
  under.set(server, value)
}

/** Lets net.Server make its own socket again, from its next listen() on. */
export function nothingUnder(server: Server): void {
  const value = under.get(server)
  if (value && Reflect.get(server, '_listen2') === value) Reflect.deleteProperty(server, '_listen2')
}

const under = new WeakMap<Server, object>()

/** Opens, binds and listens. */
function listenOn(
  server: Server,
  where: Where,
  open: Open,
  observer: ListenObserver,
  base: NonNullable<typeof listen2>,
): void {
  const abort = new AbortController()
  const { address, port, family, backlog, flags } = where
  // As net.Server does it.
  const candidates = address
    ? [{ address, family: family === 6 ? 6 : 4 } as const]
    : ([
        { address: '::', family: 6 },
        { address: '0.0.0.0', family: 4 },
      ] as const)
  observer.begins(() => abort.abort())
  attempt(0)

  function attempt(index: number): void {
    const candidate = candidates[index]
    if (!candidate) return
    const isLast = index === candidates.length - 1
    const ipv6Only = (Number(flags) & IPV6_ONLY) !== 0
    open({ ...candidate, port, ipv6Only }, abort.signal, (error, descriptor) => {
      if (abort.signal.aborted) {
        descriptor?.discard()
        return
      }
      if (!descriptor && bindStatus(error) === undefined) {
        // A machine without IPv6 listens on IPv4.
        if (!isLast && (error as { code?: string }).code === 'EAFNOSUPPORT') attempt(index + 1)
        else observer.failed(error as Error)
        return
      }
      const handle = descriptor ? take(descriptor) : unopened()
      if (!handle) return
      const bind = candidate.family === 6 ? handle.bind6 : handle.bind
      const status =
        bindStatus(error) ??
        (descriptor?.bound ? 0 : bind.call(handle, candidate.address, port, flags))
      if (status !== 0 && !isLast) {
        handle.close()
        attempt(index + 1)
        return
      }
      // It is net.Server that says what is wrong with an address.
      if (status !== 0) handle.listen = () => status
      Reflect.set(server, '_handle', handle)
      observer.listens(handle)
      base.call(server, candidate.address, port, candidate.family, backlog, undefined, flags)
    })
  }

  function take(descriptor: NativeDescriptor): ServerHandle | undefined {
    try {
      const handle = serverHandle()
      const status = handle.open(descriptor.descriptor)
      if (status === 0) {
        descriptor.adopted(() => Reflect.get(server, '_handle') === handle)
        beforeClose(handle, descriptor)
        return handle
      }
      handle.close()
      throw notTaken(status)
    } catch (error) {
      descriptor.discard()
      observer.failed(error as Error)
      return undefined
    }
  }

  function unopened(): ServerHandle | undefined {
    try {
      return serverHandle()
    } catch (error) {
      observer.failed(error as Error)
      return undefined
    }
  }
}

/** libuv's UV_TCP_IPV6ONLY. */
const IPV6_ONLY = 1

/** libuv's number of what is wrong with an address that a provider could not bind to. */
function bindStatus(error: Error | null): number | undefined {
  const { syscall, errno } = (error ?? {}) as NodeJS.ErrnoException
  return syscall === 'bind' && typeof errno === 'number' && errno < 0 ? errno : undefined
}

/** tcp_wrap's TCPConstants.SERVER. */
const SERVER = 1

type HandleClass = new (type: number) => Partial<ServerHandle>
let Handle: HandleClass | undefined

/**
 * A handle for a server, without a socket. Node does not give its TCP handles away: one of a client
 * says what it was made by.
 * @throws SocketSecurityError ERR_PROVIDER_UNAVAILABLE
 */
function serverHandle(): ServerHandle {
  Handle ??= handleOfClient().constructor as HandleClass
  const handle = new Handle(SERVER)
  const { open, bind, bind6, listen, close } = handle
  if ([open, bind, bind6, listen, close].some(each => typeof each !== 'function')) {
    throw new SocketSecurityError(
      'ERR_PROVIDER_UNAVAILABLE',
      'this version of Node has no handle that takes a socket of ours: nothing listens',
    )
  }
  return handle as ServerHandle
}

function handleOfClient(): object {
  const socket = new net.Socket()
  netSocket.connect.call(socket, { host: 'x.invalid', port: 1, lookup() {} })
  const handle = internals(socket)._handle
  socket.destroy()
  return Object(handle)
}

function notTaken(status: number): Error {
  return new SocketSecurityError(
    'EPROTO',
    `Node did not take the secured socket (${status}): nothing listens`,
  )
}
