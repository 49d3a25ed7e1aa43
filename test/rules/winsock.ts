/**
 * What the Winsock provider's subjects have in common in the table of rules. The double of
 * Fwpuclnt.dll stands in for the system: it secures nothing, and says what it is told to say.
 */
import type { Test } from 'tap'
import { type Call, winsockDouble } from '../support/winsock-double.js'
import type { ClearBehaviour, Ends, Impostor, Settings, System } from './subject.js'

const SECURED = 1

/** The default behaviour again, at the end of the test. */
function untilTheEnd(t: Test): ReturnType<typeof winsockDouble> {
  const double = winsockDouble()
  t.teardown(() => double.reset())
  return double
}

export const settings = async (): Promise<Settings> => ({ protocol: 'ipsec' })

export async function defaults() {
  return {
    server: { protocol: 'ipsec' },
    clients: [{ security: { protocol: 'ipsec' } }, { security: { protocol: 'ipsec', ipsec: {} } }],
  } as const
}

/** The peer's token, which is that of whoever runs this test. */
export async function mutual(t: Test): Promise<Ends> {
  untilTheEnd(t).answers({ userToken: true, machineToken: false })
  return { client: await settings(), server: await settings(), names: [ownAccount()] }
}

export async function anonymous(t: Test): Promise<Ends> {
  untilTheEnd(t).answers({ userToken: false, machineToken: false })
  return { client: await settings(), server: await settings(), names: [] }
}

/** Windows' own default policy authenticates without encryption first. */
export async function choice(t: Test) {
  untilTheEnd(t).answers({ flags: SECURED })
  const security = { protocol: 'ipsec', guaranteeEncryption: false } as const
  return { client: security, server: security, info: { secured: true, encrypted: false } }
}

export const impostors: readonly Impostor[] = [
  {
    title: 'the system says that it is not secured',
    code: /^EPROTO$/,
    // Of datagrams it is asked again until then: it may still be negotiating.
    client: { handshakeTimeout: 1000 },
    async prepare(t) {
      untilTheEnd(t).answers({ flags: 0 })
      return settings()
    },
  },
  {
    title: 'the system has no answer, but an error',
    code: /^ECONNRESET$/,
    async prepare(t) {
      untilTheEnd(t).behave('WSAQuerySocketSecurity', { mode: 'fail', error: 10054 })
      return settings()
    },
  },
]

/** The peer negotiates nothing: the system says so at once, never, or that it has hung up. */
export function negotiatesNothing(t: Test, behaviour: ClearBehaviour): void {
  const double = untilTheEnd(t)
  double.answers({ flags: 0 })
  if (behaviour === 'is silent') double.behave('WSAQuerySocketSecurity', { mode: 'never' })
}

export const system: System = {
  fails(t, call) {
    untilTheEnd(t).behave(call, { mode: 'pendFail', delay: 20, error: 10055 })
  },
  encryptsNothing(t) {
    untilTheEnd(t).answers({ flags: SECURED })
  },
  names() {
    const double = winsockDouble()
    double.takeLog()
    return () => double.takeLog().flatMap(named)
  },
  get impersonating() {
    return winsockDouble().impersonating()
  },
}

function named(call: Call): ReturnType<ReturnType<System['names']>> {
  const bytes = Buffer.from(call.bytes ?? '', 'hex')
  if (call.phase !== 'call') return []
  if (call.function === 'WSASetSocketPeerTargetName') {
    const length = bytes.readUInt32LE(136)
    const name = bytes.toString('utf16le', 140, 140 + length)
    return [{ ...addressAt(bytes, 8), name }]
  }
  if (call.function === 'WSADeleteSocketPeerTargetName')
    return [{ ...addressAt(bytes, 0), name: null }]
  return []
}

/** Of a SOCKADDR_IN. */
function addressAt(bytes: Buffer, offset: number) {
  const address = [...bytes.subarray(offset + 4, offset + 8)].join('.')
  return { address, port: bytes.readUInt16BE(offset + 2) }
}

/** As Windows names it. */
function ownAccount(): string {
  const { USERDOMAIN, COMPUTERNAME, USERNAME } = process.env
  return `${USERDOMAIN ?? COMPUTERNAME}\\${USERNAME}`
}
