import { createAuthority, createIdentity } from 'secure-socket'
import { createConnection, createServer } from 'secure-socket/net'
import exchange from './exchange-with.cjs'

exchange({ createAuthority, createIdentity, createConnection, createServer })
