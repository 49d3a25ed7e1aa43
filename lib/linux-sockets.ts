/**
 * Linux's socket calls, from the C library inside the process: a socket of our own making, to be
 * adopted by Node with its options set already. Thin and without state; errors come back as -errno.
 */
import { failure } from './errno.js'
import { loadKoffi } from './koffi.js'
import type { Pointer } from './memory.js'

/** socket(7): of a socket, whatever its protocol. */
export const SOL_SOCKET = 1
export const SO_REUSEADDR = 2
export const SO_ERROR = 4
export const SO_BROADCAST = 6
export const SO_REUSEPORT = 15
export const SO_LINGER = 13
const SHUT_RDWR = 2
const SIOCOUTQ = 0x5411
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
export const IPV6_V6ONLY = 26
export const IPV6_TCLASS = 67

/** send(2): never wait for room. */
export const MSG_DONTWAIT = 0x40
/** recv(2): what has not been received whole, of the control messages and of the datagram. */
export const MSG_CTRUNC = 0x8
export const MSG_TRUNC = 0x20
/** udp(7): one message stands for many datagrams of a size that a control message gives, a u16. */
export const SOL_UDP = 17
export const UDP_SEGMENT = 103
/** The other way round: the size comes in a control message, an int. */
export const UDP_GRO = 104
/** At most so many datagrams in a message of UDP_SEGMENT (linux/udp.h: UDP_MAX_SEGMENTS, of the oldest kernels). */
export const UDP_MAX_SEGMENTS = 64
/** The data of one message over IPv4, whatever it stands for. */
export const UDP_MAX_BYTES = 65507

/** A new socket's descriptor, which the caller owns; or -errno. */
export function socket(domain: number, type: number, protocol: number): number {
  const fd = calls().socket(domain, type, protocol) as number
  return fd < 0 ? failure() : fd
}

/** Sets an option of type int: 0 or -errno. */
export function setsockopt(fd: number, level: number, name: number, value: number): number {
  return calls().setsockopt(fd, level, name, [value], 4) === 0 ? 0 : failure()
}

/** An option of type int; or -errno. */
export function getsockopt(fd: number, level: number, name: number): number {
  const value = [0]
  const result = calls().getsockopt(fd, level, name, value, [4])
  return result === 0 ? (value[0] as number) : failure()
}

/**
 * SO_LINGER: with 0 seconds close(2) resets a TCP connection and throws away what has not left;
 * negative: off, as it is at first. 0 or -errno.
 */
export function setLinger(fd: number, seconds: number): number {
  const linger = new Int32Array([seconds < 0 ? 0 : 1, Math.max(0, seconds)])
  return calls().setsockopt(fd, SOL_SOCKET, SO_LINGER, linger, linger.byteLength) === 0
    ? 0
    : failure()
}

/**
 * 0 or -errno.
 * @param name a sockaddr, of which `length` bytes count
 */
export function bind(fd: number, name: Uint32Array, length: number): number {
  return calls().bind(fd, name, length) === 0 ? 0 : failure()
}

/** Of a datagram socket: it sends nothing, and only fixes the peer and the source address. 0 or -errno. */
export function connect(fd: number, name: Uint32Array, length: number): number {
  return calls().connect(fd, name, length) === 0 ? 0 : failure()
}

/** Writes the sockaddr that the socket is bound to: 0 or -errno. */
export function getsockname(fd: number, into: Uint32Array): number {
  return calls().getsockname(fd, into, [into.byteLength]) === 0 ? 0 : failure()
}

/** Receives one datagram, or some bytes: how many, or -errno. What has no room is thrown away. */
export function recv(fd: number, into: Uint8Array, flags: number): number {
  const received = calls().recv(fd, into, into.byteLength, flags) as number
  return received < 0 ? failure() : received
}

/** shutdown(2) of both directions: 0 or -errno. */
export function shutdown(fd: number): number {
  return calls().shutdown(fd, SHUT_RDWR) === 0 ? 0 : failure()
}

/** tcp(7), SIOCOUTQ: bytes that the peer has not acknowledged, sent or not; or -errno. */
export function unacknowledged(fd: number): number {
  const value = [0]
  return calls().ioctl(fd, SIOCOUTQ, value) === 0 ? (value[0] as number) : failure()
}

/** 0 or -errno. */
export function close(fd: number): number {
  return calls().close(fd) === 0 ? 0 : failure()
}

/**
 * Sends one datagram: its length, or -errno.
 * @param name a sockaddr; 0 where the socket is connected
 */
export function sendto(
  fd: number,
  data: Pointer,
  length: number,
  flags: number,
  name: Pointer,
  nameLength: number,
): number {
  const sent = calls().sendto(fd, data, length, flags, name, nameLength) as number
  return sent < 0 ? failure() : sent
}

/**
 * Sends many messages, in order, until one cannot be sent.
 * @param vector so many struct mmsghdr
 * @returns how many have left, or -errno where the first one could not
 */
export function sendmmsg(fd: number, vector: Pointer, count: number, flags: number): number {
  const sent = calls().sendmmsg(fd, vector, count, flags) as number
  return sent < 0 ? failure() : sent
}

/**
 * Receives messages until there is none, or there is no room.
 * @param vector so many struct mmsghdr
 * @returns how many have come, or -errno where none has
 */
export function recvmmsg(fd: number, vector: Pointer, count: number, flags: number): number {
  const received = calls().recvmmsg(fd, vector, count, flags, 0) as number
  return received < 0 ? failure() : received
}

/** Writes the 4 or 16 bytes of an address. Whether it is one. */
export function inet_pton(family: number, text: string, into: Pointer): boolean {
  return calls().inet_pton(family, text, into) === 1
}

/** Writes the text of 4 or 16 bytes, with a zero behind it. Whether there was room. */
export function inet_ntop(family: number, bytes: Pointer, into: Pointer, size: number): boolean {
  return calls().inet_ntop(family, bytes, into, size) !== 0
}

/** The number of an interface; 0 where there is none of that name. */
export function if_nametoindex(name: string): number {
  return calls().if_nametoindex(name) as number
}

/** Writes the name of an interface, with a zero behind it: at most 16 bytes. Whether there is one. */
export function if_indextoname(index: number, into: Pointer): boolean {
  return calls().if_indextoname(index, into) !== 0
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
    bind: libc.func('int bind(int fd, const uint32_t *name, uint32_t length)'),
    connect: libc.func('int connect(int fd, const uint32_t *name, uint32_t length)'),
    getsockname: libc.func('int getsockname(int fd, uint32_t *into, _Inout_ uint32_t *length)'),
    recv: libc.func('intptr_t recv(int fd, uint8_t *into, uintptr_t length, int flags)'),
    shutdown: libc.func('int shutdown(int fd, int how)'),
    ioctl: libc.func('int ioctl(int fd, unsigned long request, _Out_ int *value)'),
    close: libc.func('int close(int fd)'),
    sendto: libc.func(
      'intptr_t sendto(int fd, intptr_t data, uintptr_t length, int flags, intptr_t name, uint32_t nameLength)',
    ),
    sendmmsg: libc.func('int sendmmsg(int fd, intptr_t vector, unsigned int count, int flags)'),
    recvmmsg: libc.func(
      'int recvmmsg(int fd, intptr_t vector, unsigned int count, int flags, intptr_t timeout)',
    ),
    inet_pton: libc.func('int inet_pton(int family, const char *text, intptr_t into)'),
    inet_ntop: libc.func(
      'intptr_t inet_ntop(int family, intptr_t bytes, intptr_t into, uint32_t size)',
    ),
    if_nametoindex: libc.func('unsigned int if_nametoindex(const char *name)'),
    if_indextoname: libc.func('intptr_t if_indextoname(unsigned int index, intptr_t into)'),
  }
}
