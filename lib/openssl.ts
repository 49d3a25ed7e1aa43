/**
 * OpenSSL 3, as far as datagrams need it: declarations only, no policy and no state.
 *
 * Every pointer is a Number, the fastest form that koffi has: an address in user space fits. What a
 * pointer points to, and how long it lives, is the caller's to know; see
 * src/providers/dtls/openssl.ts for the rules. Functions and constants have OpenSSL's own names.
 */
import type { LibraryHandle } from './koffi.js'
import type { Pointer } from './memory.js'

/** The functions of the two libraries, each with the signature that its manual page gives. */
export function declareOpenssl(ssl: LibraryHandle, crypto: LibraryHandle) {
  return { ...declareCrypto(crypto), ...declareSsl(ssl), srtp: declareSrtp(ssl) }
}

export type Openssl = ReturnType<typeof declareOpenssl>

/** What tells which library this is. */
export function declareVersion(crypto: LibraryHandle) {
  return {
    OpenSSL_version_num: crypto.func('unsigned long OpenSSL_version_num()') as () => number,
    OpenSSL_version: crypto.func('const char *OpenSSL_version(int type)') as (
      type: number,
    ) => string,
  }
}

// biome-ignore format: a declaration a line
function declareCrypto(library: LibraryHandle) {
  const declare = <T>(signature: string) => library.func(signature) as T
  return {
    ERR_get_error: declare<() => number>('unsigned long ERR_get_error()'),
    ERR_clear_error: declare<() => void>('void ERR_clear_error()'),
    ERR_reason_error_string: declare<(error: number) => string | null>('const char *ERR_reason_error_string(unsigned long error)'),

    EVP_sha256: declare<() => Pointer>('intptr_t EVP_sha256()'),
    HMAC: declare<(digest: Pointer, key: Pointer, keyLength: number, data: Pointer, length: number, out: Pointer, outLength: Pointer) => Pointer>('intptr_t HMAC(intptr_t digest, intptr_t key, int keyLength, intptr_t data, size_t length, intptr_t out, intptr_t outLength)'),

    EVP_aes_256_cbc: declare<() => Pointer>('intptr_t EVP_aes_256_cbc()'),
    EVP_EncryptInit_ex: declare<(ctx: Pointer, cipher: Pointer, engine: Pointer, key: Pointer, iv: Pointer) => number>('int EVP_EncryptInit_ex(intptr_t ctx, intptr_t cipher, intptr_t engine, intptr_t key, intptr_t iv)'),
    EVP_DecryptInit_ex: declare<(ctx: Pointer, cipher: Pointer, engine: Pointer, key: Pointer, iv: Pointer) => number>('int EVP_DecryptInit_ex(intptr_t ctx, intptr_t cipher, intptr_t engine, intptr_t key, intptr_t iv)'),
    EVP_MAC_init: declare<(ctx: Pointer, key: Pointer, keyLength: number, parameters: Pointer) => number>('int EVP_MAC_init(intptr_t ctx, intptr_t key, size_t keyLength, intptr_t parameters)'),

    BIO_s_mem: declare<() => Pointer>('intptr_t BIO_s_mem()'),
    BIO_new: declare<(method: Pointer) => Pointer>('intptr_t BIO_new(intptr_t method)'),
    BIO_up_ref: declare<(bio: Pointer) => number>('int BIO_up_ref(intptr_t bio)'),
    BIO_write: declare<(bio: Pointer, data: Pointer, length: number) => number>('int BIO_write(intptr_t bio, intptr_t data, int length)'),
    BIO_read: declare<(bio: Pointer, data: Pointer, length: number) => number>('int BIO_read(intptr_t bio, intptr_t data, int length)'),
    BIO_ctrl: declare<(bio: Pointer, command: number, larg: number, parg: Pointer) => number>('long BIO_ctrl(intptr_t bio, int command, long larg, intptr_t parg)'),
    BIO_ADDR_new: declare<() => Pointer>('intptr_t BIO_ADDR_new()'),

    d2i_X509: declare<(out: Pointer, at: Pointer, length: number) => Pointer>('intptr_t d2i_X509(intptr_t out, intptr_t at, long length)'),
    i2d_X509: declare<(x509: Pointer, at: Pointer) => number>('int i2d_X509(intptr_t x509, intptr_t at)'),
    X509_free: declare<(x509: Pointer) => void>('void X509_free(intptr_t x509)'),
    d2i_X509_CRL: declare<(out: Pointer, at: Pointer, length: number) => Pointer>('intptr_t d2i_X509_CRL(intptr_t out, intptr_t at, long length)'),
    X509_CRL_free: declare<(crl: Pointer) => void>('void X509_CRL_free(intptr_t crl)'),
    d2i_AutoPrivateKey: declare<(out: Pointer, at: Pointer, length: number) => Pointer>('intptr_t d2i_AutoPrivateKey(intptr_t out, intptr_t at, long length)'),
    EVP_PKEY_free: declare<(key: Pointer) => void>('void EVP_PKEY_free(intptr_t key)'),
    d2i_PKCS12: declare<(out: Pointer, at: Pointer, length: number) => Pointer>('intptr_t d2i_PKCS12(intptr_t out, intptr_t at, long length)'),
    PKCS12_parse: declare<(p12: Pointer, passphrase: string, key: Pointer, cert: Pointer, ca: Pointer) => number>('int PKCS12_parse(intptr_t p12, const char *passphrase, intptr_t key, intptr_t cert, intptr_t ca)'),
    PKCS12_free: declare<(p12: Pointer) => void>('void PKCS12_free(intptr_t p12)'),
    OPENSSL_sk_num: declare<(stack: Pointer) => number>('int OPENSSL_sk_num(intptr_t stack)'),
    OPENSSL_sk_value: declare<(stack: Pointer, index: number) => Pointer>('intptr_t OPENSSL_sk_value(intptr_t stack, int index)'),
    OPENSSL_sk_free: declare<(stack: Pointer) => void>('void OPENSSL_sk_free(intptr_t stack)'),

    X509_STORE_new: declare<() => Pointer>('intptr_t X509_STORE_new()'),
    X509_STORE_up_ref: declare<(store: Pointer) => number>('int X509_STORE_up_ref(intptr_t store)'),
    X509_STORE_free: declare<(store: Pointer) => void>('void X509_STORE_free(intptr_t store)'),
    X509_STORE_add_cert: declare<(store: Pointer, x509: Pointer) => number>('int X509_STORE_add_cert(intptr_t store, intptr_t x509)'),
    X509_STORE_add_crl: declare<(store: Pointer, crl: Pointer) => number>('int X509_STORE_add_crl(intptr_t store, intptr_t crl)'),
    X509_STORE_set_flags: declare<(store: Pointer, flags: number) => number>('int X509_STORE_set_flags(intptr_t store, unsigned long flags)'),
    X509_STORE_CTX_get_error: declare<(context: Pointer) => number>('int X509_STORE_CTX_get_error(intptr_t context)'),
    X509_STORE_CTX_set_error: declare<(context: Pointer, error: number) => void>('void X509_STORE_CTX_set_error(intptr_t context, int error)'),
    X509_verify_cert_error_string: declare<(verdict: number) => string>('const char *X509_verify_cert_error_string(long verdict)'),
    X509_STORE_CTX_get_error_depth: declare<(context: Pointer) => number>('int X509_STORE_CTX_get_error_depth(intptr_t context)'),
    X509_STORE_CTX_get_current_cert: declare<(context: Pointer) => Pointer>('intptr_t X509_STORE_CTX_get_current_cert(intptr_t context)'),
    X509_VERIFY_PARAM_set_auth_level: declare<(param: Pointer, level: number) => void>('void X509_VERIFY_PARAM_set_auth_level(intptr_t param, int level)'),
    X509_VERIFY_PARAM_set1_ip_asc: declare<(param: Pointer, address: string) => number>('int X509_VERIFY_PARAM_set1_ip_asc(intptr_t param, const char *address)'),
  }
}

// biome-ignore format: a declaration a line
function declareSsl(library: LibraryHandle) {
  const declare = <T>(signature: string) => library.func(signature) as T
  return {
    DTLS_client_method: declare<() => Pointer>('intptr_t DTLS_client_method()'),
    DTLS_server_method: declare<() => Pointer>('intptr_t DTLS_server_method()'),

    SSL_CTX_new: declare<(method: Pointer) => Pointer>('intptr_t SSL_CTX_new(intptr_t method)'),
    SSL_CTX_free: declare<(ctx: Pointer) => void>('void SSL_CTX_free(intptr_t ctx)'),
    SSL_CTX_ctrl: declare<(ctx: Pointer, command: number, larg: number, parg: Pointer) => number>('long SSL_CTX_ctrl(intptr_t ctx, int command, long larg, intptr_t parg)'),
    SSL_CTX_set_options: declare<(ctx: Pointer, options: number) => number>('uint64_t SSL_CTX_set_options(intptr_t ctx, uint64_t options)'),
    SSL_CTX_set_timeout: declare<(ctx: Pointer, seconds: number) => number>('long SSL_CTX_set_timeout(intptr_t ctx, long seconds)'),
    SSL_CTX_get_security_level: declare<(ctx: Pointer) => number>('int SSL_CTX_get_security_level(intptr_t ctx)'),
    SSL_CTX_set_cipher_list: declare<(ctx: Pointer, list: string) => number>('int SSL_CTX_set_cipher_list(intptr_t ctx, const char *list)'),
    SSL_CTX_get_ciphers: declare<(ctx: Pointer) => Pointer>('intptr_t SSL_CTX_get_ciphers(intptr_t ctx)'),
    SSL_CTX_set1_cert_store: declare<(ctx: Pointer, store: Pointer) => void>('void SSL_CTX_set1_cert_store(intptr_t ctx, intptr_t store)'),
    SSL_CTX_get0_param: declare<(ctx: Pointer) => Pointer>('intptr_t SSL_CTX_get0_param(intptr_t ctx)'),
    SSL_CTX_use_certificate: declare<(ctx: Pointer, x509: Pointer) => number>('int SSL_CTX_use_certificate(intptr_t ctx, intptr_t x509)'),
    SSL_CTX_use_PrivateKey: declare<(ctx: Pointer, key: Pointer) => number>('int SSL_CTX_use_PrivateKey(intptr_t ctx, intptr_t key)'),
    SSL_CTX_check_private_key: declare<(ctx: Pointer) => number>('int SSL_CTX_check_private_key(intptr_t ctx)'),
    SSL_CTX_set_session_id_context: declare<(ctx: Pointer, id: Pointer, length: number) => number>('int SSL_CTX_set_session_id_context(intptr_t ctx, intptr_t id, unsigned int length)'),
    SSL_CTX_set_tlsext_ticket_key_evp_cb: declare<(ctx: Pointer, callback: Pointer) => number>('int SSL_CTX_set_tlsext_ticket_key_evp_cb(intptr_t ctx, intptr_t callback)'),
    SSL_CTX_use_psk_identity_hint: declare<(ctx: Pointer, hint: string) => number>('int SSL_CTX_use_psk_identity_hint(intptr_t ctx, const char *hint)'),
    SSL_CTX_set_alpn_protos: declare<(ctx: Pointer, protocols: Pointer, length: number) => number>('int SSL_CTX_set_alpn_protos(intptr_t ctx, intptr_t protocols, unsigned int length)'),
    SSL_CTX_set_psk_client_callback: declare<(ctx: Pointer, callback: Pointer) => void>('void SSL_CTX_set_psk_client_callback(intptr_t ctx, intptr_t callback)'),
    SSL_CTX_set_psk_server_callback: declare<(ctx: Pointer, callback: Pointer) => void>('void SSL_CTX_set_psk_server_callback(intptr_t ctx, intptr_t callback)'),
    SSL_CTX_set_alpn_select_cb: declare<(ctx: Pointer, callback: Pointer, argument: Pointer) => void>('void SSL_CTX_set_alpn_select_cb(intptr_t ctx, intptr_t callback, intptr_t argument)'),
    SSL_CTX_set_cookie_verify_cb: declare<(ctx: Pointer, callback: Pointer) => void>('void SSL_CTX_set_cookie_verify_cb(intptr_t ctx, intptr_t callback)'),
    SSL_CTX_set_keylog_callback: declare<(ctx: Pointer, callback: Pointer) => void>('void SSL_CTX_set_keylog_callback(intptr_t ctx, intptr_t callback)'),
    SSL_CTX_sess_set_new_cb: declare<(ctx: Pointer, callback: Pointer) => void>('void SSL_CTX_sess_set_new_cb(intptr_t ctx, intptr_t callback)'),

    SSL_new: declare<(ctx: Pointer) => Pointer>('intptr_t SSL_new(intptr_t ctx)'),
    SSL_free: declare<(ssl: Pointer) => void>('void SSL_free(intptr_t ssl)'),
    SSL_alloc_buffers: declare<(ssl: Pointer) => number>('int SSL_alloc_buffers(intptr_t ssl)'),
    SSL_free_buffers: declare<(ssl: Pointer) => number>('int SSL_free_buffers(intptr_t ssl)'),
    SSL_set_bio: declare<(ssl: Pointer, read: Pointer, write: Pointer) => void>('void SSL_set_bio(intptr_t ssl, intptr_t read, intptr_t write)'),
    SSL_set_connect_state: declare<(ssl: Pointer) => void>('void SSL_set_connect_state(intptr_t ssl)'),
    SSL_set_accept_state: declare<(ssl: Pointer) => void>('void SSL_set_accept_state(intptr_t ssl)'),
    SSL_set_verify: declare<(ssl: Pointer, mode: number, callback: Pointer) => void>('void SSL_set_verify(intptr_t ssl, int mode, intptr_t callback)'),
    SSL_set_hostflags: declare<(ssl: Pointer, flags: number) => void>('void SSL_set_hostflags(intptr_t ssl, unsigned int flags)'),
    SSL_set1_host: declare<(ssl: Pointer, host: string) => number>('int SSL_set1_host(intptr_t ssl, const char *host)'),
    SSL_get0_param: declare<(ssl: Pointer) => Pointer>('intptr_t SSL_get0_param(intptr_t ssl)'),
    SSL_ctrl: declare<(ssl: Pointer, command: number, larg: number, parg: Pointer) => number>('long SSL_ctrl(intptr_t ssl, int command, long larg, intptr_t parg)'),
    SSL_do_handshake: declare<(ssl: Pointer) => number>('int SSL_do_handshake(intptr_t ssl)'),
    DTLSv1_listen: declare<(ssl: Pointer, peer: Pointer) => number>('int DTLSv1_listen(intptr_t ssl, intptr_t peer)'),
    DTLS_set_timer_cb: declare<(ssl: Pointer, callback: Pointer) => void>('void DTLS_set_timer_cb(intptr_t ssl, intptr_t callback)'),
    SSL_read: declare<(ssl: Pointer, data: Pointer, length: number) => number>('int SSL_read(intptr_t ssl, intptr_t data, int length)'),
    SSL_write: declare<(ssl: Pointer, data: Pointer, length: number) => number>('int SSL_write(intptr_t ssl, intptr_t data, int length)'),
    SSL_shutdown: declare<(ssl: Pointer) => number>('int SSL_shutdown(intptr_t ssl)'),
    SSL_get_error: declare<(ssl: Pointer, result: number) => number>('int SSL_get_error(intptr_t ssl, int result)'),
    SSL_has_pending: declare<(ssl: Pointer) => number>('int SSL_has_pending(intptr_t ssl)'),
    SSL_get_state: declare<(ssl: Pointer) => number>('int SSL_get_state(intptr_t ssl)'),

    SSL_get_version: declare<(ssl: Pointer) => string>('const char *SSL_get_version(intptr_t ssl)'),
    SSL_get_current_cipher: declare<(ssl: Pointer) => Pointer>('intptr_t SSL_get_current_cipher(intptr_t ssl)'),
    SSL_CIPHER_get_name: declare<(cipher: Pointer) => string>('const char *SSL_CIPHER_get_name(intptr_t cipher)'),
    SSL_CIPHER_standard_name: declare<(cipher: Pointer) => string | null>('const char *SSL_CIPHER_standard_name(intptr_t cipher)'),
    SSL_CIPHER_is_aead: declare<(cipher: Pointer) => number>('int SSL_CIPHER_is_aead(intptr_t cipher)'),
    SSL_get0_alpn_selected: declare<(ssl: Pointer, data: Pointer, length: Pointer) => void>('void SSL_get0_alpn_selected(intptr_t ssl, intptr_t data, intptr_t length)'),
    SSL_select_next_proto: declare<(out: Pointer, outLength: Pointer, server: Pointer, serverLength: number, client: Pointer, clientLength: number) => number>('int SSL_select_next_proto(intptr_t out, intptr_t outLength, intptr_t server, unsigned int serverLength, intptr_t client, unsigned int clientLength)'),
    SSL_get0_peer_CA_list: declare<(ssl: Pointer) => Pointer>('intptr_t SSL_get0_peer_CA_list(intptr_t ssl)'),
    SSL_get1_peer_certificate: declare<(ssl: Pointer) => Pointer>('intptr_t SSL_get1_peer_certificate(intptr_t ssl)'),
    SSL_get_verify_result: declare<(ssl: Pointer) => number>('long SSL_get_verify_result(intptr_t ssl)'),
    SSL_get_servername: declare<(ssl: Pointer, type: number) => string | null>('const char *SSL_get_servername(intptr_t ssl, int type)'),
    SSL_export_keying_material: declare<(ssl: Pointer, out: Pointer, outLength: number, label: Pointer, labelLength: number, context: Pointer, contextLength: number, useContext: number) => number>('int SSL_export_keying_material(intptr_t ssl, intptr_t out, size_t outLength, intptr_t label, size_t labelLength, intptr_t context, size_t contextLength, int useContext)'),
    SSL_session_reused: declare<(ssl: Pointer) => number>('int SSL_session_reused(intptr_t ssl)'),
    SSL_get_session: declare<(ssl: Pointer) => Pointer>('intptr_t SSL_get_session(intptr_t ssl)'),
    SSL_set_session: declare<(ssl: Pointer, session: Pointer) => number>('int SSL_set_session(intptr_t ssl, intptr_t session)'),
    d2i_SSL_SESSION: declare<(out: Pointer, at: Pointer, length: number) => Pointer>('intptr_t d2i_SSL_SESSION(intptr_t out, intptr_t at, long length)'),
    i2d_SSL_SESSION: declare<(session: Pointer, at: Pointer) => number>('int i2d_SSL_SESSION(intptr_t session, intptr_t at)'),
    SSL_SESSION_free: declare<(session: Pointer) => void>('void SSL_SESSION_free(intptr_t session)'),
    SSL_SESSION_get_time: declareSessionTime(library),
    SSL_SESSION_is_resumable: declare<(session: Pointer) => number>('int SSL_SESSION_is_resumable(intptr_t session)'),
  }
}

/**
 * Seconds since 1970. OpenSSL 3.4 deprecated the first function for the second, and Node for Windows
 * exports nothing that is deprecated.
 */
function declareSessionTime(library: LibraryHandle): (session: Pointer) => number {
  try {
    return library.func('long SSL_SESSION_get_time(intptr_t session)') as never
  } catch {
    return library.func('int64_t SSL_SESSION_get_time_ex(intptr_t session)') as never
  }
}

/** Null where the library has none: Node for Windows exports all of OpenSSL that we call but SRTP. */
function declareSrtp(library: LibraryHandle): Srtp | null {
  try {
    return {
      SSL_CTX_set_tlsext_use_srtp: library.func(
        'int SSL_CTX_set_tlsext_use_srtp(intptr_t ctx, const char *profiles)',
      ) as never,
      SSL_get_selected_srtp_profile: library.func(
        'intptr_t SSL_get_selected_srtp_profile(intptr_t ssl)',
      ) as never,
    }
  } catch {
    return null
  }
}

interface Srtp {
  readonly SSL_CTX_set_tlsext_use_srtp: (ctx: Pointer, profiles: string) => number
  readonly SSL_get_selected_srtp_profile: (ssl: Pointer) => Pointer
}

/** The C functions that OpenSSL calls, for koffi.proto(). */
export const callbackTypes = {
  verify: 'int secure_socket_verify(int ok, intptr_t context)',
  pskClient:
    'unsigned int secure_socket_psk_client(intptr_t ssl, intptr_t hint, intptr_t identity, unsigned int identitySize, intptr_t key, unsigned int keySize)',
  pskServer:
    'unsigned int secure_socket_psk_server(intptr_t ssl, str identity, intptr_t key, unsigned int keySize)',
  selectAlpn:
    'int secure_socket_select_alpn(intptr_t ssl, intptr_t out, intptr_t outLength, intptr_t offered, unsigned int offeredLength, intptr_t argument)',
  verifyCookie:
    'int secure_socket_verify_cookie(intptr_t ssl, intptr_t cookie, unsigned int length)',
  ticketKey:
    'int secure_socket_ticket_key(intptr_t ssl, intptr_t name, intptr_t iv, intptr_t cipher, intptr_t mac, int encrypts)',
  newSession: 'int secure_socket_new_session(intptr_t ssl, intptr_t session)',
  keylog: 'void secure_socket_keylog(intptr_t ssl, str line)',
  timer: 'unsigned int secure_socket_timer(intptr_t ssl, unsigned int microseconds)',
} as const

// Commands of SSL_ctrl and SSL_CTX_ctrl (ssl.h).
export const SSL_CTRL_SET_MTU = 17
export const SSL_CTRL_MODE = 33
export const SSL_CTRL_SET_SESS_CACHE_MODE = 44
export const SSL_CTRL_SET_MAX_SEND_FRAGMENT = 52
export const SSL_CTRL_SET_TLSEXT_HOSTNAME = 55
export const DTLS_CTRL_GET_TIMEOUT = 73
export const DTLS_CTRL_HANDLE_TIMEOUT = 74
export const SSL_CTRL_CHAIN_CERT = 89
export const SSL_CTRL_SET_GROUPS_LIST = 92
export const SSL_CTRL_SET_SIGALGS_LIST = 98
export const SSL_CTRL_BUILD_CERT_CHAIN = 105
export const SSL_CTRL_SET_MIN_PROTO_VERSION = 123
export const SSL_CTRL_SET_MAX_PROTO_VERSION = 124
export const TLSEXT_NAMETYPE_host_name = 0

export const DTLS1_2_VERSION = 0xfefd
export const DTLS1_3_VERSION = 0xfefc

export const SSL_OP_NO_QUERY_MTU = 1 << 12
export const SSL_OP_NO_TICKET = 1 << 14
export const SSL_OP_NO_RENEGOTIATION = 1 << 30
export const SSL_MODE_NO_AUTO_CHAIN = 8
export const SSL_SESS_CACHE_OFF = 0
export const SSL_SESS_CACHE_CLIENT = 1
export const SSL_SESS_CACHE_NO_INTERNAL = 0x300
export const SSL_BUILD_CHAIN_FLAG_UNTRUSTED = 1
export const SSL_BUILD_CHAIN_FLAG_NO_ROOT = 2
export const SSL_BUILD_CHAIN_FLAG_IGNORE_ERROR = 8
export const SSL_BUILD_CHAIN_FLAG_CLEAR_ERROR = 0x10

export const SSL_VERIFY_NONE = 0
export const SSL_VERIFY_PEER = 1
export const SSL_VERIFY_FAIL_IF_NO_PEER_CERT = 2

export const SSL_ERROR_SSL = 1
export const SSL_ERROR_WANT_READ = 2
export const SSL_ERROR_ZERO_RETURN = 6

export const SSL_TLSEXT_ERR_OK = 0
export const SSL_TLSEXT_ERR_ALERT_FATAL = 2
export const OPENSSL_NPN_NEGOTIATED = 1

// core.h
export const OSSL_PARAM_UTF8_STRING = 4

// bio.h
export const BIO_CTRL_RESET = 1
export const BIO_C_SET_BUF_MEM_EOF_RETURN = 130

// x509_vfy.h, x509v3.h
export const X509_V_FLAG_CRL_CHECK = 0x4
export const X509_V_FLAG_CRL_CHECK_ALL = 0x8
export const X509_V_OK = 0
export const X509_V_ERR_CERT_NOT_YET_VALID = 9
export const X509_V_ERR_CERT_HAS_EXPIRED = 10
export const X509_V_ERR_HOSTNAME_MISMATCH = 62
export const X509_V_ERR_IP_ADDRESS_MISMATCH = 64
export const X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS = 0x4
export const X509_CHECK_FLAG_NEVER_CHECK_SUBJECT = 0x20

// ssl.h, psk
export const PSK_MAX_IDENTITY_LEN = 128
export const PSK_MAX_PSK_LEN = 256
