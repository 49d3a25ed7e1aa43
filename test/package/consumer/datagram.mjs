import { createAuthority, createIdentity } from 'secure-socket'
import { createSocket } from 'secure-socket/dgram'
import exchange from './datagram-with.cjs'

exchange({ createAuthority, createIdentity, createSocket })
