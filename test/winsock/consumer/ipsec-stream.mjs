import { createConnection, createServer } from 'secure-socket/net'
import exchange from './ipsec-stream-with.cjs'

exchange({ createConnection, createServer })
