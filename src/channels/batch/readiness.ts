/**
 * Being told that a descriptor is readable or writable, and nothing else: whoever is told reads.
 *
 * One of Node's own stream handles watches it, with a buffer of no bytes to read into: then libuv
 * says ENOBUFS instead of reading. Such a handle belongs to Node as any other, so what it calls runs
 * as an event of Node's, and it ends with its thread, whatever that thread is doing.
 *
 * koffi has a poll of its own (koffi.node.poll, 3.3.4), which must not be used: it calls JavaScript
 * also where a worker thread is being terminated or has called process.exit(). Node refuses that, and
 * the failure of the call is fatal to the whole process (napi_fatal_error inside of uv_run; seen on
 * Node 20, 22, 24 and 26, whenever a datagram comes in that moment).
 */
import nodeNet from 'node:net'
import { duplicate, EPOLLOUT, epollAdd, epollCreate } from '../../../lib/linux-descriptors.js'
import { AF_INET, close, SOCK_CLOEXEC, SOCK_STREAM, socket } from '../../../lib/linux-sockets.js'
import { systemError } from './system-error.js'

/** Calls back, in each turn of the event loop, as long as it is ready. */
export interface Watch {
  /** Does it keep the process alive? It does at first. */
  ref(): void
  unref(): void
  /** Calls back no more. The descriptor that was given is still its owner's. */
  close(): void
}

/**
 * Also called where an error of the socket waits to be read.
 * @throws a system error
 */
export function watchReadable(fd: number, ready: () => void): Watch {
  // A descriptor of its own: the handle closes what it has opened.
  return watch(checked(duplicate(fd), 'dup'), ready)
}

/** Never fails: where there is no descriptor left to watch with, it is for the caller to find out. */
export function watchWritable(fd: number, ready: () => void): Watch {
  try {
    // A handle only waits for room when it has written something; an epoll descriptor is readable then.
    const epoll = checked(epollCreate(), 'epoll_create1')
    const status = epollAdd(epoll, fd, EPOLLOUT)
    if (status === 0) return watch(epoll, ready)
    close(epoll)
  } catch {
    // What waits for room must leave nevertheless.
  }
  const timer = setInterval(ready, 1)
  return { ref: () => timer.ref(), unref: () => timer.unref(), close: () => clearInterval(timer) }
}

/**
 * Why nothing can be watched in this runtime, a phrase; undefined where it can.
 * @throws a system error
 */
export function readinessUnavailable(): string | undefined {
  if (known === undefined) known = find()
  return known.missing
}

/** Node's handle of a TCP socket, as far as it is used here. */
interface StreamHandle {
  /** Set to what is called instead of the delivery of what was read. */
  onread: () => void
  /** 0, or libuv's error number: then the descriptor is still the caller's. */
  open(descriptor: number): number
  /** The memory to read into. */
  useUserBuffer(buffer: Buffer): void
  readStart(): number
  ref(): void
  unref(): void
  close(): void
}

/** Of no bytes, but somewhere: Node takes NULL for no buffer at all. */
const nothing = Buffer.alloc(8).subarray(0, 0)

/** @param owned the handle's from now on, closed also where it fails */
function watch(owned: number, ready: () => void): Watch {
  const handle = new (handleClass())(0)
  const opened = handle.open(owned)
  if (opened !== 0) {
    close(owned)
    handle.close()
    throw systemError(opened, 'open')
  }
  let isOpen = true
  // A value that it gave back would be the next buffer.
  handle.onread = () => {
    if (isOpen) ready()
  }
  handle.useUserBuffer(nothing)
  const started = handle.readStart()
  if (started !== 0) {
    handle.close()
    throw systemError(started, 'epoll_ctl')
  }
  return {
    ref() {
      if (isOpen) handle.ref()
    },
    unref() {
      if (isOpen) handle.unref()
    },
    close() {
      if (!isOpen) return
      isOpen = false
      handle.close()
    },
  }
}

function checked(result: number, syscall: string): number {
  if (result < 0) throw systemError(result, syscall)
  return result
}

/** As it was before any program patched it. */
const { Socket } = nodeNet

const methods = ['open', 'useUserBuffer', 'readStart', 'ref', 'unref', 'close'] as const

/** Why that is no handle as it is needed; undefined where it is one. */
function missingIn(handle: Partial<StreamHandle> | null | undefined): string | undefined {
  if (!handle) return '_handle'
  if (!('onread' in handle)) return 'onread'
  if (typeof handle.constructor !== 'function' || handle.constructor === Object)
    return 'constructor'
  const method = methods.find(each => typeof handle[each] !== 'function')
  return method && `${method}()`
}

type HandleClass = new (type: number) => StreamHandle

let known: { readonly Handle?: HandleClass; readonly missing?: string } | undefined

function handleClass(): HandleClass {
  const missing = readinessUnavailable()
  if (known?.Handle) return known.Handle
  throw new Error(missing)
}

/** The class of Node's handles of TCP sockets: that of a socket that Node makes for a descriptor. */
function find(): NonNullable<typeof known> {
  const fd = checked(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), 'socket')
  const stream = new Socket({ fd, readable: false, writable: false })
  const { _handle: handle } = stream as unknown as { _handle?: Partial<StreamHandle> | null }
  const missing = missingIn(handle)
  const Handle = handle?.constructor as HandleClass
  stream.destroy()
  if (missing === undefined) return { Handle }
  const what = `Node ${process.version} has no handle that watches a descriptor`
  return { missing: `${what}: ${missing} is missing` }
}
