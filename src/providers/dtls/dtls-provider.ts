/** The dtls provider for datagrams: DTLS on the OpenSSL inside Node. */
import type { ChannelDatagramProvider } from '../datagram-provider.js'
import { dtlsContext } from './context.js'
import { hasServerCredentials } from './credentials.js'
import { DtlsEndpoint } from './endpoint.js'

export const dtlsProvider: ChannelDatagramProvider = {
  mode: 'channel',
  createEndpoint(request, observer) {
    const { settings } = request
    // What OpenSSL cannot use is found out now and not at the first peer: a server would be silent.
    dtlsContext(settings, hasServerCredentials(settings) ? 'server' : 'client')
    return new DtlsEndpoint(request, observer)
  },
}
