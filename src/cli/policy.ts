import { defineGroup } from './command.js'

const help = `secure-socket policy: the administrator's policy

A JSON file says how sockets are secured on this machine, and what programs may set themselves. It
is /etc/secure-socket/policy.json (on Windows %ProgramData%\\secure-socket\\policy.json), else the one
that the variable SECURE_SOCKET_POLICY names.

Usage:
  secure-socket policy check [FILE]     is it valid, and can it be used here?

Exit codes: 0 done, 1 failed, 2 the command line was wrong
`

/** `secure-socket policy` */
export const policy = defineGroup({
  name: 'policy',
  help,
  commands: {
    check: async () => (await import('./policy/check.js')).check,
  },
})
