/** The tls provider for streams: node:tls, TLS 1.3 wherever both ends can. No native code. */
import type { ChannelProvider } from '../provider.js'
import { createAcceptor } from './acceptor.js'
import { dial } from './dial.js'

export const tlsProvider: ChannelProvider = { mode: 'channel', dial, createAcceptor }
