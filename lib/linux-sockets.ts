/**
 * Linux's socket calls, from the C library inside the process: a socket of our own making, to be
 * adopted by Node with its options set already. Thin and without state; errors come back as -errno.
 */
import koffi from 'koffi'

const libc = koffi.load(null)
const socketCall = libc.func('int socket(int domain, int type, int protocol)')
const setsockoptCall = libc.func(
  'int setsockopt(int fd, int level, int name, const int *value, uint32_t length)',
)
const getsockoptCall = libc.func(
  'int getsockopt(int fd, int level, int name, _Out_ int *value, _Inout_ uint32_t *length)',
)
const closeCall = libc.func('int close(int fd)')

/** socket(2) and ip(7). */
export const AF_INET = 2
export const AF_INET6 = 10
export const SOCK_STREAM = 1
export const SOCK_NONBLOCK = 0o4000
export const SOCK_CLOEXEC = 0o2000000
export const IPPROTO_IP = 0
export const IP_TOS = 1
export const IPPROTO_IPV6 = 41
export const IPV6_TCLASS = 67

/** A new socket's descriptor, which the caller owns; or -errno. */
export function socket(domain: number, type: number, protocol: number): number {
  const fd = socketCall(domain, type, protocol) as number
  return fd < 0 ? -koffi.errno() : fd
}

/** Sets an option of type int: 0 or -errno. */
export function setsockopt(fd: number, level: number, name: number, value: number): number {
  return setsockoptCall(fd, level, name, [value], 4) === 0 ? 0 : -koffi.errno()
}

/** An option of type int; or -errno. */
export function getsockopt(fd: number, level: number, name: number): number {
  const value = [0]
  return getsockoptCall(fd, level, name, value, [4]) === 0 ? (value[0] as number) : -koffi.errno()
}

/** 0 or -errno. */
export function close(fd: number): number {
  return closeCall(fd) === 0 ? 0 : -koffi.errno()
}
