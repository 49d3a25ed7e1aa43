/**
 * How a client knows that the server has accepted its certificate.
 *
 * In TLS 1.3 a client has finished its handshake before the server has judged its certificate
 * (RFC 8446, section 4.4.2.4 and appendix E.1.2), and a refusal looks like a clean end. Between two
 * ends of this library the server's first byte says that it has accepted. The two find each other
 * by ALPN (RFC 7301): before each protocol p of the application the client offers
 * `secure-socket/1+p`, or `secure-socket/1` where the application names none. A server that selects
 * it writes one byte, 0x01, as the first application data after it has authorized the client; the
 * byte and the token are never shown to the application.
 */
const token = 'secure-socket/1'
const prefix = `${token}+`

/** The server's first byte. */
export const acceptanceByte = Buffer.from([1])

/** What a client offers: each protocol, wanted first in the form that asks for acceptance. */
export function withAcceptance(protocols: readonly string[]): string[] {
  if (protocols.length === 0) return [token]
  return protocols.flatMap(each =>
    Buffer.byteLength(prefix + each) > 255 ? [each] : [prefix + each, each],
  )
}

/** What a server supports; the bare token serves clients that name no protocol. */
export function supportedWithAcceptance(protocols: readonly string[]): string[] {
  return protocols.length === 0 ? [token] : [...withAcceptance(protocols), token]
}

/** Was acceptance agreed on? */
export function hasAcceptance(negotiated: string | false | null): boolean {
  return negotiated === token || (typeof negotiated === 'string' && negotiated.startsWith(prefix))
}

/** The application's protocol in what was negotiated. */
export function applicationProtocol(negotiated: string | false | null): string | false {
  if (!hasAcceptance(negotiated)) return negotiated || false
  return negotiated === token ? false : (negotiated as string).slice(prefix.length)
}

/** Does a ClientHello ask for acceptance? The name is looked for as bytes: a chance hit only enables the choice. */
export function asksForAcceptance(clientHello: Buffer): boolean {
  return clientHello.includes(token)
}
