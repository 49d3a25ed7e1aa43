import { defineGroup } from './command.js'

const help = `secure-socket identity: make and inspect certificates

A host proves who it is by an identity: a certificate with its names, and a private key.
Peers believe it because an authority that they trust has signed it, or because they know
the pin of its key.

Usage:
  secure-socket identity authority     make an authority, once
  secure-socket identity create        make an identity, one for each host or program
  secure-socket identity show FILE     whom a certificate names, how long it is valid, its pin
  secure-socket identity pin FILE      the pin alone

An authority and one identity, in this directory:
  secure-socket identity authority
  secure-socket identity create --name host/db.example.com

Exit codes: 0 done, 1 failed, 2 the command line was wrong
`

/** `secure-socket identity` */
export const identity = defineGroup({
  name: 'identity',
  help,
  commands: {
    authority: async () => (await import('./identity/authority.js')).authority,
    create: async () => (await import('./identity/create.js')).create,
    show: async () => (await import('./identity/show.js')).show,
    pin: async () => (await import('./identity/pin.js')).pin,
  },
})
