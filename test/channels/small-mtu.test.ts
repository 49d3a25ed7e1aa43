/** Real networks whose datagrams must be small, or leave slowly. The tests are in networks/small-mtu.ts. */
import t from 'tap'
import { inOwnNetwork } from './networks/own-network.js'

await inOwnNetwork(t, new URL('networks/small-mtu.ts', import.meta.url))
