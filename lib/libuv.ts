/**
 * libuv's handles of this thread, as node.exe exports it: which sockets Node has, and their numbers.
 * Thin and without state. A handle is an address, valid only until the walk that has shown it is over.
 */

import type { Pointer } from './kernel32.js'
import { loadKoffi } from './koffi.js'
import { declareFunction } from './windows-library.js'

/** uv.h: uv_handle_type */
const UV_TCP = 12

/** The largest address that a function fills in: SOCKADDR_STORAGE (ws2def.h). */
const addressBytes = 128

/** A TCP handle, during a walk. */
export interface TcpHandle {
  /** A SOCKADDR, valid until the next call; null where it is not bound. */
  localAddress(): Buffer | null
  /** A SOCKADDR, valid until the next call; null where it is not connected. */
  remoteAddress(): Buffer | null
  /** Its SOCKET; -1 where it has none. */
  socket(): number
}

/**
 * Shows every open TCP handle of this thread's event loop. `visit` must neither close nor make one.
 * What it throws is thrown when the walk is over.
 * @throws SocketSecurityError ERR_PROVIDER_UNAVAILABLE where this runtime does not export libuv
 */
export function walkTcpHandles(visit: (handle: TcpHandle) => void): void {
  const uv = calls()
  const loop = [0]
  if (uv.napi_get_uv_event_loop(environment(), loop) !== 0 || !loop[0])
    throw new Error('Node has no event loop here (napi_get_uv_event_loop)')
  const address = Buffer.alloc(addressBytes)
  const length = [addressBytes]
  const socket = [0]
  let at: Pointer = 0
  const addressOf = (get: typeof uv.uv_tcp_getsockname) => {
    length[0] = addressBytes
    return get(at, address, length) === 0 ? address.subarray(0, length[0]) : null
  }
  const handle: TcpHandle = {
    localAddress: () => addressOf(uv.uv_tcp_getsockname),
    remoteAddress: () => addressOf(uv.uv_tcp_getpeername),
    socket: () => (uv.uv_fileno(at, socket) === 0 ? (socket[0] as number) : -1),
  }
  // Nothing may be thrown through libuv's own frames.
  const failures: unknown[] = []
  uv.uv_walk(
    loop[0],
    each => {
      at = each
      try {
        const open = uv.uv_handle_get_type(at) === UV_TCP && uv.uv_is_closing(at) === 0
        if (open && failures.length === 0) visit(handle)
      } catch (error) {
        failures.push(error)
      }
    },
    0,
  )
  if (failures.length > 0) throw failures[0]
}

/** Node-API's environment of this thread, which is koffi's. */
function environment(): Pointer {
  const koffi = loadKoffi()
  return Number(koffi.address(koffi.node.env))
}

let declared: ReturnType<typeof declare> | undefined

function calls() {
  declared ??= declare()
  return declared
}

// biome-ignore format: a declaration a line
function declare() {
  const koffi = loadKoffi()
  // The program itself: node.exe, or what Node is built into.
  const program = koffi.load(null)
  const from = <T>(signature: string) => declareFunction<T>(program, 'this runtime', signature)
  // Without a name, which would be koffi's for ever: this package may be there twice.
  const uv_walk_cb = koffi.pointer(koffi.proto('void', ['intptr_t', 'intptr_t']))
  return {
    napi_get_uv_event_loop: from<(env: Pointer, loop: Pointer[]) => number>('int napi_get_uv_event_loop(intptr_t env, _Out_ intptr_t *loop)'),
    uv_walk: program.func('uv_walk', 'void', ['intptr_t', uv_walk_cb, 'intptr_t']) as (loop: Pointer, visit: (handle: Pointer) => void, arg: Pointer) => void,
    uv_handle_get_type: from<(handle: Pointer) => number>('int uv_handle_get_type(intptr_t handle)'),
    uv_is_closing: from<(handle: Pointer) => number>('int uv_is_closing(intptr_t handle)'),
    uv_fileno: from<(handle: Pointer, socket: number[]) => number>('int uv_fileno(intptr_t handle, _Out_ intptr_t *socket)'),
    uv_tcp_getsockname: from<(handle: Pointer, address: Buffer, length: number[]) => number>('int uv_tcp_getsockname(intptr_t handle, void *address, _Inout_ int *length)'),
    uv_tcp_getpeername: from<(handle: Pointer, address: Buffer, length: number[]) => number>('int uv_tcp_getpeername(intptr_t handle, void *address, _Inout_ int *length)'),
  }
}
