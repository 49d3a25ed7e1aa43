/**
 * Linux's socket calls, from the C library inside the process: a socket of our own making, to be
 * adopted by Node with its options set already. Thin and without state; errors come back as -errno.
 */
import { loadKoffi } from './koffi.js'

/** socket(2) and ip(7). */
export const AF_INET = 2
export const AF_INET6 = 10
export const SOCK_STREAM = 1
export const SOCK_DGRAM = 2
export const SOCK_NONBLOCK = 0o4000
export const SOCK_CLOEXEC = 0o2000000
export const IPPROTO_IP = 0
export const IP_TOS = 1
export const IPPROTO_IPV6 = 41
export const IPV6_TCLASS = 67

/** A new socket's descriptor, which the caller owns; or -errno. */
export function socket(domain: number, type: number, protocol: number): number {
  const fd = calls().socket(domain, type, protocol) as number
  return fd < 0 ? -loadKoffi().errno() : fd
}

/** Sets an option of type int: 0 or -errno. */
export function setsockopt(fd: number, level: number, name: number, value: number): number {
  return calls().setsockopt(fd, level, name, [value], 4) === 0 ? 0 : -loadKoffi().errno()
}

/** An option of type int; or -errno. */
export function getsockopt(fd: number, level: number, name: number): number {
  const value = [0]
  const result = calls().getsockopt(fd, level, name, value, [4])
  return result === 0 ? (value[0] as number) : -loadKoffi().errno()
}

/** 0 or -errno. */
export function close(fd: number): number {
  return calls().close(fd) === 0 ? 0 : -loadKoffi().errno()
}

let declared: ReturnType<typeof declare> | undefined

function calls() {
  declared ??= declare()
  return declared
}

function declare() {
  const libc = loadKoffi().load(null)
  return {
    socket: libc.func('int socket(int domain, int type, int protocol)'),
    setsockopt: libc.func(
      'int setsockopt(int fd, int level, int name, const int *value, uint32_t length)',
    ),
    getsockopt: libc.func(
      'int getsockopt(int fd, int level, int name, _Out_ int *value, _Inout_ uint32_t *length)',
    ),
    close: libc.func('int close(int fd)'),
  }
}
