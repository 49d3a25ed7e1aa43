/**
 * A secured socket cannot be sent to another process: its keys would have to go along, and what the other
 * process got is the bare connection. Node would hand that over without a word.
 */
import type { ChildProcess } from 'node:child_process'
import { SocketSecurityError } from '../model/errors.js'
import { SecureDgramSocket } from '../sockets/secure-dgram-socket.js'
import { SecureSocket } from '../sockets/secure-socket.js'
import { isTaken } from '../sockets/taken.js'
import { replace } from './dispatch.js'
import { isSecuredServer } from './servers.js'

/** @param sender the process, or a child of it */
export function guardMessages(sender: NodeJS.Process | ChildProcess): void {
  if (typeof sender.send !== 'function') return
  replace(sender, 'send', send => {
    return function (message, handle, ...rest) {
      if (isSecured(handle)) throw notSent()
      return send.call(this, message, handle, ...rest)
    }
  })
}

function isSecured(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const owner = ownerOf(value)
  return isSecuredOwner(value) || (owner !== undefined && isSecuredOwner(owner))
}

function isSecuredOwner(handle: object): boolean {
  return (
    handle instanceof SecureSocket ||
    handle instanceof SecureDgramSocket ||
    isTaken(handle) ||
    isSecuredServer(handle)
  )
}

/** Node takes a bare handle, too, and keeps in it whose it is. */
function ownerOf(handle: object): object | undefined {
  const key = Object.getOwnPropertySymbols(handle).find(
    ({ description }) => description === 'owner_symbol',
  )
  const owner: unknown = key && Reflect.get(handle, key)
  return typeof owner === 'object' && owner !== null ? owner : undefined
}

function notSent(): Error {
  return new SocketSecurityError(
    'EOPNOTSUPP',
    'a secured socket or server cannot be sent to another process, which has not its keys: let that process make its own, or let the policy leave this one in clear',
    { syscall: 'send' },
  )
}
