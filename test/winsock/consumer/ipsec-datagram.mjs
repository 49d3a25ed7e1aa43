import { createSocket } from 'secure-socket/dgram'
import exchange from './ipsec-datagram-with.cjs'

exchange({ createSocket })
