/** An SSL with all that an association gives it before its first message. */

import type { Pointer } from '../../../lib/memory.js'
import {
  SSL_CTRL_SET_MAX_SEND_FRAGMENT,
  SSL_CTRL_SET_MTU,
  SSL_CTRL_SET_TLSEXT_HOSTNAME,
  TLSEXT_NAMETYPE_host_name,
} from '../../../lib/openssl.js'
import type { AssociationOptions } from './association-options.js'
import type { DtlsContext } from './context.js'
import { explainOpenssl, takeError } from './explain.js'
import { cString, decodeDer, openssl } from './openssl.js'
import { serverName } from './server-name.js'

/** The least and the most that OpenSSL takes (SSL_CTX_set_max_send_fragment). */
const minSendFragment = 512
export const maxSendFragment = 16384

/** The caller frees it. */
export function createSsl(options: AssociationOptions, context: DtlsContext): Pointer {
  const { lib, input, output, callbacks } = openssl()
  const { role, mtu, retransmitAfter } = options
  const ssl = lib.SSL_new(context.handle)
  if (ssl === 0) throw explainOpenssl(takeError(), options.peer)
  lib.BIO_up_ref(input)
  lib.BIO_up_ref(output)
  lib.SSL_set_bio(ssl, input, output)
  lib.SSL_ctrl(ssl, SSL_CTRL_SET_MTU, mtu, 0)
  // The buffer of the clear epoch stays as long as its last flight may be sent again: a small one.
  const fragment = Math.min(Math.max(mtu, minSendFragment), maxSendFragment)
  lib.SSL_ctrl(ssl, SSL_CTRL_SET_MAX_SEND_FRAGMENT, fragment, 0)
  if (retransmitAfter !== undefined) lib.DTLS_set_timer_cb(ssl, callbacks.timer)
  if (role === 'client') prepareClient(ssl, options)
  else lib.SSL_set_accept_state(ssl)
  return ssl
}

function prepareClient(ssl: Pointer, options: AssociationOptions): void {
  const { lib } = openssl()
  const { settings, targetName, host, session } = options
  const name = settings.servername ?? serverName(targetName, host)
  if (name !== undefined)
    lib.SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, cString(name))
  if (session !== undefined) useSession(ssl, session)
  lib.SSL_set_connect_state(ssl)
}

/** A session that cannot be used any more is no error: the handshake will be a full one. */
function useSession(ssl: Pointer, der: Buffer): void {
  const { lib } = openssl()
  const session = decodeDer(der, (at, length) => lib.d2i_SSL_SESSION(0, at, length))
  if (session !== 0) {
    lib.SSL_set_session(ssl, session)
    lib.SSL_SESSION_free(session)
  }
  lib.ERR_clear_error()
}
