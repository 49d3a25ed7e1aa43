/**
 * How a client knows that the server has accepted its certificate.
 *
 * In TLS 1.3 a client has finished its handshake before the server has judged its certificate
 * (RFC 8446, section 4.4.2.4 and appendix E.1.2), and a refusal looks like a clean end. Between two
 * ends of this library the server's first byte says that it has accepted. The two find each other
 * by ALPN (RFC 7301), with these names:
 *
 * - `secure-socket/1+p` before each protocol p of the application: p, with acceptance
 * - `secure-socket/1` from a client that names no protocol
 * - `secure-socket/1*` last, from a client that names some: for a server that names none
 *
 * A server that selects one of them writes one byte, 0x01, as the first application data after it
 * has authorized the client. Neither the byte nor the names are ever shown to the application.
 */
const token = 'secure-socket/1'
const prefix = `${token}+`
const noProtocol = `${token}*`

/** The server's first byte. */
export const acceptanceByte = Buffer.from([1])

/** What a client offers. */
export function withAcceptance(protocols: readonly string[]): string[] {
  return protocols.length === 0 ? [token] : [...inBothForms(protocols), noProtocol]
}

/** What a server supports. One that names protocols serves clients that name none, but has nothing for those that name only others. */
export function supportedWithAcceptance(protocols: readonly string[]): string[] {
  return protocols.length === 0 ? [token, noProtocol] : [...inBothForms(protocols), token]
}

/** Each protocol, wanted first in the form that asks for acceptance. */
function inBothForms(protocols: readonly string[]): string[] {
  return protocols.flatMap(each =>
    Buffer.byteLength(prefix + each) > 255 ? [each] : [prefix + each, each],
  )
}

/** Was acceptance agreed on? */
export function hasAcceptance(negotiated: string | false | null): boolean {
  if (typeof negotiated !== 'string') return false
  return negotiated === token || negotiated === noProtocol || negotiated.startsWith(prefix)
}

/** The application's protocol in what was negotiated. */
export function applicationProtocol(negotiated: string | false | null): string | false {
  if (typeof negotiated !== 'string' || !hasAcceptance(negotiated)) return negotiated || false
  return negotiated.startsWith(prefix) ? negotiated.slice(prefix.length) : false
}

/** Does a ClientHello ask for acceptance? The name is looked for as bytes: a chance hit only enables the choice. */
export function asksForAcceptance(clientHello: Buffer): boolean {
  return clientHello.includes(token)
}
