/**
 * Channel mode: the SecureSocket is a proxy over the stream that the provider has secured. What is
 * written goes there, what comes from there is pushed here, and both end together.
 */
import type { Socket, TcpNetConnectOpts } from 'node:net'
import { Readable } from 'node:stream'
import type { ParsedSettings } from '../model/settings.js'
import type { TargetName } from '../model/target-name.js'
import type { ChannelProvider, Connection } from '../providers/provider.js'
import { internals } from './net-internals.js'
import { tellSecured } from './story.js'
import { type StreamState, stateOf } from './stream-state.js'
import { now } from './stream-stats.js'

export interface ChannelRequest {
  readonly provider: ChannelProvider
  readonly options: TcpNetConnectOpts
  readonly settings: ParsedSettings
  readonly targetName: TargetName
  readonly targetNameSet: boolean
}

/** Connects and secures; 'connect' follows, or the socket is destroyed with the error. */
export function connectChannel(socket: Socket, request: ChannelRequest): void {
  const state = stateOf(socket)
  const { provider, ...dialled } = request
  const { securedBefore } = state
  state.dial = provider.dial(
    {
      ...dialled,
      options: withBlockList(socket, dialled.options),
      securedBefore,
    },
    {
      channel: channel => {
        state.channel = channel
        if (state.unreferenced) channel.unref()
      },
      event: (name, args) => {
        copyAttempts(socket, state.channel)
        socket.emit(name, ...args)
      },
      established: (channel, connection) => {
        adopt(socket, state, channel, connection)
        announce(socket, state, channel, connection)
      },
      failed: error => {
        copyAttempts(socket, state.channel)
        socket.destroy(error)
      },
    },
  )
}

/** Given to the constructor, it is net.Socket that keeps it. */
function withBlockList(socket: Socket, options: TcpNetConnectOpts): TcpNetConnectOpts {
  const { blockList } = socket as { blockList?: TcpNetConnectOpts['blockList'] }
  return blockList && !options.blockList ? { ...options, blockList } : options
}

/** Makes a secured channel the socket's own. */
export function adopt(
  socket: Socket,
  state: StreamState,
  channel: Socket,
  connection: Connection,
): void {
  state.dial = null
  state.channel = channel
  state.connection = connection
  state.established = true
  if (connection.secured) state.securedBefore = true
  Reflect.set(channel, owner, socket)
  // Each side of the channel ends when ours does.
  channel.allowHalfOpen = true
  // An http.Server would let its parser read from the handle, under the channel; TLS goes on giving
  // it the records of one read while it is paused, which it takes for an error. Marked as taken, the
  // handle is left alone, and the server reads as from any stream.
  Reflect.set(Object(internals(channel)._handle), '_consumed', true)
  channel.push = onPush as Socket['push']
  channel.on('end', onEnd)
  channel.on('error', onError)
  channel.on('close', onClose)
}

/**
 * Tells the application, in net.Socket's order: what waits is written, 'connect', 'ready', the first
 * read. In each of them it can destroy the socket, and connect it elsewhere: then this ends.
 */
function announce(
  socket: Socket,
  state: StreamState,
  channel: Socket,
  connection: Connection,
): void {
  const isCurrent = () => state.channel === channel
  state.connectedAfter = now() - state.begun
  if (!connection.secured) socket.emit('insecure', connection.query())
  if (!isCurrent()) return
  state.secured?.resolve(connection.query())
  internals(socket).connecting = false
  tellSecured(socket, state, connection)
  if (!isCurrent()) return
  if (state.noDelay) channel.setNoDelay(true)
  if (state.keepAlive) channel.setKeepAlive(...(state.keepAlive as [boolean, number]))
  const { waiting } = state
  state.waiting = null
  waiting?.write(channel)
  // Until the next turn of the loop; what awaits `secured` runs later than the listeners.
  state.announcing = true
  setImmediate(() => {
    state.announcing = false
  })
  try {
    socket.emit('connect')
    if (isCurrent()) socket.emit('ready')
  } finally {
    if (isCurrent()) startReading(socket, state, channel, connection)
  }
}

function startReading(
  socket: Socket,
  state: StreamState,
  channel: Socket,
  { early }: Connection,
): void {
  if (early) deliver(socket, state, early)
  if (!socket.isPaused()) socket.read(0)
  // Asked for while there was no channel, which counts as a read under way.
  if (state.wanted && !state.onread) readOn(socket, state, channel)
  state.wanted = false
}

/** Which addresses autoSelectFamily has tried. */
function copyAttempts(socket: Socket, channel: Socket | null): void {
  const attempts = channel?.autoSelectFamilyAttemptedAddresses
  if (attempts) Reflect.set(socket, 'autoSelectFamilyAttemptedAddresses', attempts)
}

// The channel's events: one function each for all sockets, so that an idle one costs little.

const owner = Symbol('secure-socket.owner')
type Owned = Socket & { [owner]?: Socket }

const { push } = Readable.prototype

/**
 * Instead of the channel's push(): what it reads goes on at once, past a second buffer and its events.
 * On false Node stops reading, as for any socket, and `_read` starts it again.
 */
function onPush(this: Owned, chunk: Buffer | null): boolean {
  const socket = this[owner]
  if (!socket || chunk === null) return push.call(this, chunk)
  const state = stateOf(socket)
  // Nobody has asked yet (pauseOnConnect): it stays in the channel, unread.
  if (!state.reading) return push.call(this, chunk)
  internals(socket)._unrefTimer()
  return deliver(socket, state, chunk)
}

/** The application wants data: what the channel holds first, then what it reads. */
export function readOn(socket: Socket, state: StreamState, channel: Socket): void {
  if (!state.reading) {
    state.reading = true
    const held: Buffer | null = channel.read()
    if (held !== null && !deliver(socket, state, held)) return
  }
  if (state.channel === channel) channel._read(0)
}

function deliver(socket: Socket, { onread }: StreamState, chunk: Buffer): boolean {
  return onread ? onread.deliver(socket, chunk) : socket.push(chunk)
}

function onEnd(this: Owned): void {
  const socket = this[owner]
  if (!socket || socket.destroyed) return
  const state = stateOf(socket)
  const error = state.connection?.endError()
  if (error) {
    socket.destroy(error)
    return
  }
  // The channel may be gone before the application has read all of it.
  internals(socket)._getpeername()
  internals(socket)._getsockname()
  if (state.onread && !state.onread.empty) state.endHeld = true
  else finishReading(socket)
}

function finishReading(socket: Socket): void {
  socket.push(null)
  socket.read(0)
}

function onError(this: Owned, error: Error): void {
  const socket = this[owner]
  if (socket) socket.destroy(stateOf(socket).connection?.explain(error) ?? error)
}

function onClose(this: Owned): void {
  if (!this.readableEnded) this[owner]?.destroy()
}

/** Reads on into the application's own buffer (`onread`). */
export function resumeOnread(socket: Socket): void {
  const state = stateOf(socket)
  if (!state.onread || !state.established || !state.channel) return
  if (!state.onread.resume(socket)) return
  if (state.endHeld) {
    state.endHeld = false
    finishReading(socket)
  } else if (state.channel) {
    readOn(socket, state, state.channel)
  }
}

// Writing.

type Callback = (error?: Error | null) => void

/** One write of a Writable: data and its encoding, or the chunks of a corked one. */
export interface Write {
  readonly data: unknown
  readonly encoding: string
  to(channel: Socket): void
  readonly callback: Callback
}

/** Before the channel is secured a write waits. Writable gives one at a time. */
export function waitToWrite(socket: Socket, state: StreamState, write: Write): void {
  // For bytesWritten.
  internals(socket)._pendingData = write.data
  internals(socket)._pendingEncoding = write.encoding
  const forget = () => {
    internals(socket)._pendingData = null
    internals(socket)._pendingEncoding = ''
  }
  state.waiting = {
    write: channel => {
      forget()
      internals(socket)._unrefTimer()
      write.to(channel)
    },
    fail: error => {
      forget()
      write.callback(error)
    },
  }
}

export function writeOne(
  channel: Socket,
  data: unknown,
  encoding: BufferEncoding,
  callback: Callback,
): void {
  if (tellsOfCancelled) {
    channel.write(data as string, encoding, callback)
  } else {
    const { told, begun } = truthful(channel, callback)
    channel.write(data as string, encoding, told)
    begun()
  }
}

export function writeAll(
  channel: Socket,
  chunks: { chunk: unknown; encoding: BufferEncoding }[],
  callback: Callback,
): void {
  const { told, begun } = tellsOfCancelled ? asItIs(callback) : truthful(channel, callback)
  const last = chunks.length - 1
  channel.cork()
  chunks.forEach(({ chunk, encoding }, index) => {
    channel.write(chunk as string, encoding, index === last ? told : undefined)
  })
  channel.uncork()
  begun()
}

/**
 * Does Node say of a write that was under way when its socket was destroyed that it was cancelled? Node 20
 * says that it has succeeded, and nothing of it need have left.
 */
const tellsOfCancelled = Number.parseInt(process.versions.node, 10) >= 22

/** A callback for the channel that does not take the destruction of the channel for success. */
function truthful(channel: Socket, callback: Callback) {
  let leftAtOnce = false
  return {
    told(error?: Error | null) {
      callback(error ?? (channel.destroyed && !leftAtOnce ? cancelled() : null))
    },
    /** Of what has left in the very call Node tells later, when the socket may be destroyed. */
    begun() {
      leftAtOnce = channel.writableLength === 0
    },
  }
}

function asItIs(told: Callback) {
  return { told, begun() {} }
}

/** As later versions of Node tell it. */
function cancelled(): Error {
  return Object.assign(new Error('write ECANCELED'), { code: 'ECANCELED', syscall: 'write' })
}

// Ending.

/**
 * Lets go of the channel of a socket that is being destroyed.
 * @returns a handle for net.Socket to close: the channel goes first, 'close' follows
 */
export function release(state: StreamState, channel: Socket): object {
  const { dial, announcing } = state
  state.dial = null
  state.channel = null
  state.reading = false
  // Its end is not the end of what the same object connects next.
  Reflect.deleteProperty(channel, owner)
  dial?.cancel()
  return {
    bytesRead: channel.bytesRead,
    bytesWritten: internals(channel)._bytesDispatched,
    close(done: () => void) {
      // Not before the 'error' that net.Socket emits in a later tick.
      if (channel.closed) return setImmediate(done)
      channel.once('close', done)
      if (dial) return
      // Node tells of the secured channel before our last handshake message has left; destroyed in
      // that very moment, the server would never see the connection.
      if (announcing) setImmediate(() => channel.destroy())
      else channel.destroy()
    },
  }
}

interface Closable {
  close(done: () => void): unknown
  reset?(done: () => void): unknown
}

/**
 * Makes the channel end by a reset. `resetAndDestroy()` throws on a TLS socket, and resetting the
 * socket under a live TLS handle corrupts memory. So the TLS handle closes as always, and its last
 * step is the reset.
 */
export function resetOnClose(channel: Socket): void {
  const handle = internals(channel)._handle as (Closable & { _parent?: Closable }) | null
  const parent = handle?._parent ?? handle
  if (typeof parent?.reset !== 'function') return
  parent.close = function (this: Closable, done) {
    return this.reset?.(done)
  }
}
