/**
 * What can go wrong with strongSwan's daemon, as errors that say what to do. What the daemon says is
 * quoted without anything that a terminal would act on; a peer may have had a hand in it.
 */
import { printable, SocketSecurityError } from '../../../model/errors.js'

/** The daemon could not be reached at its path. */
export function connectFailed(cause: Error, path: string): SocketSecurityError {
  const { code } = cause as NodeJS.ErrnoException
  if (code === 'EACCES' || code === 'EPERM')
    return new SocketSecurityError(
      'EACCES',
      `this process may not use strongSwan's socket ${path}: let it run in the group that owns the socket, which the setting group in strongswan.conf names`,
      { cause, syscall: 'connect' },
    )
  if (code === 'ERR_ACCESS_DENIED')
    return new SocketSecurityError(
      'EACCES',
      `Node's permission model forbids strongSwan's socket ${path}: start Node with --allow-net beside --permission`,
      { cause, syscall: 'connect' },
    )
  return new SocketSecurityError(
    'ERR_PROVIDER_UNAVAILABLE',
    `strongSwan with its vici plugin does not listen at ${path} (${code ?? cause.message}): start it (systemctl start strongswan; Debian: charon-systemd and strongswan-swanctl), or give its path as ipsec.viciSocket`,
    { cause, syscall: 'connect' },
  )
}

/** The connection to the daemon has ended, and not by us. */
export function daemonLost(path: string, cause?: Error): SocketSecurityError {
  return new SocketSecurityError(
    'ECONNRESET',
    `strongSwan has closed its connection at ${path}: was it stopped or restarted? See its log (journalctl -u strongswan)`,
    { cause },
  )
}

/** It takes connections, and does not answer. */
export function daemonSilent(what: string, milliseconds: number): SocketSecurityError {
  return new SocketSecurityError(
    'ETIMEDOUT',
    `strongSwan has not answered ${what} within ${milliseconds} ms: see its log (journalctl -u strongswan)`,
  )
}

export function tooMuchAsked(waiting: number): SocketSecurityError {
  return new SocketSecurityError(
    'ENOBUFS',
    `${waiting} requests wait for strongSwan already: it does not answer as fast as it is asked`,
  )
}

/** Whoever answers there does not speak VICI. */
export function daemonSaysNonsense(path: string, cause: Error): SocketSecurityError {
  return new SocketSecurityError(
    'EPROTO',
    `what listens at ${path} does not speak strongSwan's VICI protocol (${cause.message}): give the path of the daemon's socket as ipsec.viciSocket`,
    { cause },
  )
}

/** Our own end of it. */
export function closedByUs(): SocketSecurityError {
  return new SocketSecurityError('ECANCELED', 'the connection to strongSwan was closed')
}

export function unknownCommand(command: string): SocketSecurityError {
  return new SocketSecurityError(
    'EOPNOTSUPP',
    `this strongSwan does not know the command ${command}: install version 5.9 or newer`,
  )
}

export function unknownEvent(event: string): SocketSecurityError {
  return new SocketSecurityError(
    'EOPNOTSUPP',
    `this strongSwan does not know the event ${event}: install version 5.9 or newer`,
  )
}

/** The daemon has answered `success = no`: it has understood, and does not do it. */
export class CommandError extends SocketSecurityError {
  /** @param errmsg what the daemon says itself; absent where it says nothing */
  constructor(
    readonly command: string,
    readonly errmsg: string | undefined,
  ) {
    const why = errmsg === undefined ? 'it does not say why' : quoted(errmsg)
    super('EPROTO', `strongSwan refuses ${command}: ${why}`)
  }
}

/** What somebody else says, for a message: of bounded length, and nothing in it that a terminal would act on. */
export function quoted(text: string): string {
  return printable(text.length > 300 ? `${text.slice(0, 299)}…` : text)
}
