/** TLS errors in words: one stable code on every Node version, and a message that says what to do. */
import t from 'tap'
import { SocketSecurityError } from '../../../src/model/errors.js'
import { explainTlsError, isNotTls, tlsCode } from '../../../src/providers/tls/explain.js'

const error = (code: string, message = 'text of OpenSSL') =>
  Object.assign(new Error(message), { code })

t.test('one spelling of an alert, whichever OpenSSL is inside Node', async t => {
  // 3.0 says "sslv3 alert …", 3.2 and later "ssl/tls alert …"; in an EPROTO the name is in the text.
  for (const [given, code] of [
    [error('ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE'), 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE'],
    [error('ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE'), 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE'],
    [
      error('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'),
      'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
    ],
    [
      error(
        'EPROTO',
        'write EPROTO 00:error:0A000410:SSL routines:ssl3_read_bytes:ssl/tls alert bad certificate:../x.c:1:',
      ),
      'ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE',
    ],
    [
      error(
        'EPROTO',
        'write EPROTO 00:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../x.c:1:',
      ),
      'ERR_SSL_WRONG_VERSION_NUMBER',
    ],
    [error('EPROTO', 'write EPROTO'), undefined],
    [error('CERT_HAS_EXPIRED'), 'CERT_HAS_EXPIRED'],
    [error('ECONNREFUSED'), undefined],
    [new Error('no code'), undefined],
  ] as const) {
    t.equal(tlsCode(given), code)
  }
})

t.test('a wrong signature of the handshake, whichever key and OpenSSL', async t => {
  for (const [code, library] of [
    ['BAD_SIGNATURE', 'SSL routines:tls_process_cert_verify:bad signature'],
    ['PROVIDER_SIGNATURE_FAILURE', 'digital envelope routines:EVP_DigestVerifyFinal:provider sig'],
    ['LAST_OCTET_INVALID', 'rsa routines:RSA_verify_PKCS1_PSS_mgf1:last octet invalid'],
  ] as const) {
    const given = error(`ERR_SSL_${code}`, `00D3:error:0A00007B:${library}:../x.c:1:`)
    t.match(explainTlsError(given, 'db:5432'), {
      code: 'ERR_SSL_BAD_SIGNATURE',
      message: /^db:5432: a signature .* whose key it does not have/,
    })
  }
  const ours = error('ERR_SSL_X', '00D3:error:1:rsa routines:RSA_sign:x:../x.c:1:')
  t.equal(tlsCode(ours), 'ERR_SSL_X', 'one that we could not make is something else')
  const refused = error('ERR_SSL_X', '00D3:error:1:SSL routines:tls_verify_x:x:../x.c:1:')
  t.equal(tlsCode(refused), 'ERR_SSL_X')
})

t.test('explained: the code, the peer, what to do, and the cause', async t => {
  const cause = error('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED')
  const explained = explainTlsError(cause, 'db:5432')
  t.ok(explained instanceof SocketSecurityError)
  t.match(explained, { code: cause.code, peer: 'db:5432', cause })
  t.match(
    explained.message,
    /^db:5432: .*no client certificate; give cert and key, or set requestCert: false/,
  )
  t.match(
    explainTlsError(error('ERR_SSL_SOMETHING_NEW'), 'db:5432').message,
    'db:5432: text of OpenSSL',
  )
})

t.test('a certificate that is refused for a reason that Node has no name for', async t => {
  t.match(explainTlsError(error('UNSPECIFIED', 'permitted subtree violation'), 'db:5432'), {
    code: 'CERT_REJECTED',
    message: /^db:5432: its certificate is refused: permitted subtree violation$/,
  })
})

t.test(
  'what is no matter of security, and what is explained already, stay as they are',
  async t => {
    const refused = error('ECONNREFUSED')
    t.equal(explainTlsError(refused, 'db:5432'), refused)
    const own = new SocketSecurityError('EPROTO', 'mine')
    t.equal(explainTlsError(own, 'db:5432'), own)
  },
)

t.test('which errors may mean that the peer speaks no TLS', async t => {
  t.equal(isNotTls(error('ERR_SSL_WRONG_VERSION_NUMBER')), true)
  t.equal(isNotTls(error('ERR_SSL_PACKET_LENGTH_TOO_LONG')), true)
  t.equal(isNotTls(error('ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE')), false)
  t.equal(isNotTls(error('ECONNRESET')), false)
})
