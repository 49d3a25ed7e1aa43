/**
 * Linux's calls for descriptors of any kind, from the C library inside the process. Thin and without
 * state; errors come back as -errno.
 */
import { failure } from './errno.js'
import { loadKoffi } from './koffi.js'

/** epoll_ctl(2): its events are those of poll(2). */
export const EPOLLIN = 0x1
export const EPOLLOUT = 0x4

const F_DUPFD_CLOEXEC = 1030
const EPOLL_CLOEXEC = 0o2000000
const EPOLL_CTL_ADD = 1
/** struct epoll_event is packed on x64, and has 16 bytes elsewhere; the events come first. */
const sizeofEpollEvent = 16

/** Another descriptor of the same open file, which the caller owns; or -errno. */
export function duplicate(fd: number): number {
  const made = calls().fcntl(fd, F_DUPFD_CLOEXEC, 0) as number
  return made < 0 ? failure() : made
}

/** A descriptor that is readable while something is ready of what is added to it; or -errno. */
export function epollCreate(): number {
  const made = calls().epoll_create1(EPOLL_CLOEXEC) as number
  return made < 0 ? failure() : made
}

/** 0 or -errno. */
export function epollAdd(epoll: number, fd: number, events: number): number {
  const event = Buffer.alloc(sizeofEpollEvent)
  event.writeUInt32LE(events)
  return calls().epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event) === 0 ? 0 : failure()
}

let declared: ReturnType<typeof declare> | undefined

function calls() {
  declared ??= declare()
  return declared
}

function declare() {
  const libc = loadKoffi().load(null)
  return {
    fcntl: libc.func('int fcntl(int fd, int command, int argument)'),
    epoll_create1: libc.func('int epoll_create1(int flags)'),
    epoll_ctl: libc.func('int epoll_ctl(int epoll, int operation, int fd, const uint8_t *event)'),
  }
}
