/**
 * Why peers do not come to terms: lines of the daemon's log, as its source writes them, with the code
 * that stands for each and what is to be done. The first that was seen counts: what says more about
 * the cause stands before what may be a consequence of it, or of something harmless.
 */
import type { SocketSecurityErrorCode } from '../../../model/errors.js'

export interface Reason {
  readonly line: RegExp
  readonly code: SocketSecurityErrorCode | ((line: RegExpMatchArray) => SocketSecurityErrorCode)
  /** What is wrong; the line itself stands after it. */
  readonly what: string
  readonly remedy: string
}

const trust = 'give the authority of its certificate as ca, or load it into strongSwan (x509ca)'
const kernel =
  'load the kernel modules esp4, esp6 and xfrm_user, and those of the cipher; a container has those of its host'
const daemonKey = 'give cert and key, or psk, or load them into strongSwan for ipsec.localIdentity'

export const reasons: readonly Reason[] = [
  {
    line: /constraint check failed: .*identity .* required/,
    code: 'ERR_PEER_TARGET_NAME_MISMATCH',
    what: 'the peer has proved another identity than its target name',
    remedy: 'set the name that is in its certificate, or address the right host',
  },
  {
    line: /received IDr .*, but require/,
    code: 'ERR_PEER_TARGET_NAME_MISMATCH',
    what: 'the peer calls itself by another name than its target name',
    remedy: 'set the name that is in its certificate, or address the right host',
  },
  // Before all that is said about certificates: lines about our own are no reasons.
  {
    line: /received AUTHENTICATION_FAILED notify/,
    code: 'ERR_PEER_NOT_AUTHENTICATED',
    what: 'the peer refuses this host, or does not answer to the target name',
    remedy:
      'at the peer, see its log, that it trusts the authority of our certificate or has the same pre-shared key for our identity, and that it has the name that we ask for',
  },
  {
    line: /no (?:shared|private) key found for/,
    code: 'ENOCREDENTIAL',
    what: 'strongSwan has no key to prove who this host is',
    remedy: daemonKey,
  },
  {
    line: /private key of type .* not supported|no common hash algorithm found|authentication of .* \(myself\) .*failed/,
    code: 'ENOCREDENTIAL',
    what: 'strongSwan cannot prove who this host is with the key that it has',
    remedy: 'use an ECDSA, Ed25519 or RSA key that both peers know',
  },
  {
    line: /tried \d+ shared keys? for .*MAC mismatched/,
    code: 'ERR_PEER_NOT_AUTHENTICATED',
    what: 'the peer has another pre-shared key',
    remedy: 'give both the same',
  },
  {
    line: /certificate was revoked/,
    code: 'CERT_REVOKED',
    what: "the peer's certificate was revoked",
    remedy: 'give it a new one',
  },
  {
    line: /certificate invalid \(valid from (.*) to (.*)\)/,
    code: line => validity(line),
    what: "the peer's certificate is not valid now",
    remedy: 'renew it, and compare the clocks of both hosts',
  },
  {
    line: /self-signed certificate .* is not trusted/,
    code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
    what: "the peer's certificate is self-signed, and not trusted",
    remedy: trust,
  },
  {
    line: /constraint check failed: peer not authenticated (?:by CA|with peer cert)/,
    code: 'CERT_UNTRUSTED',
    what: "the peer's certificate is from another authority than those of ca",
    remedy: trust,
  },
  {
    line: /no issuer certificate found for/,
    code: 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
    what: "nobody whom strongSwan trusts has issued the peer's certificate",
    remedy: trust,
  },
  {
    line: /path length of \d+ violates constraint/,
    code: 'PATH_LENGTH_EXCEEDED',
    what: "the chain of the peer's certificate is longer than an authority in it allows",
    remedy: 'have the certificate issued by an authority that may',
  },
  {
    line: /maximum path length of \d+ exceeded/,
    code: 'CERT_CHAIN_TOO_LONG',
    what: "the chain of the peer's certificate is too long",
    remedy: 'have the certificate issued by an authority closer to the root',
  },
  {
    line: /without digitalSignature or nonRepudiation/,
    code: 'INVALID_PURPOSE',
    what: "the peer's certificate is not for authentication",
    remedy: 'have it issued with the key usage digitalSignature',
  },
  {
    line: /(?:does not match permitted|matches excluded) name constraint|does not inherit (?:permitted|excluded) name|policy .* not allowed by trustchain/,
    code: 'CERT_REJECTED',
    what: "an authority may not issue the peer's certificate",
    remedy: 'have it issued by an authority whose constraints allow its names',
  },
  {
    line: /no trusted .* public key found for|signature validation failed/,
    code: 'ERR_PEER_NOT_AUTHENTICATED',
    what: 'the peer has no trusted certificate with its name in it',
    remedy: `${trust}; see that the name is among the DNS, IP or email names of its certificate`,
  },
  {
    line: /constraint check failed|selected peer config .* unacceptable/,
    code: 'ERR_PEER_NOT_AUTHENTICATED',
    what: 'the peer does not authenticate itself as it is demanded',
    remedy: 'compare how both hosts authenticate themselves (certificate or pre-shared key)',
  },
  {
    line: /algorithm .* not supported by kernel|unable to (?:install .*\(SAD\)|add SAD entry|allocate SPIs?|get SPI)|allocating SPI failed/,
    code: 'ERR_PROVIDER_UNAVAILABLE',
    what: 'the kernel does not take the keys: it has no ESP, or not that cipher',
    remedy: kernel,
  },
  {
    line: /unable to (?:install IPsec policies \(SPD\)|add policy|update policy)|installing trap failed/,
    code: 'ERR_PROVIDER_UNAVAILABLE',
    what: 'the kernel does not take the policy',
    remedy: kernel,
  },
  {
    line: /received (?:TS_UNACCEPTABLE|INVALID_SELECTORS) notify|traffic selectors .* unacceptable|no acceptable traffic selectors/,
    code: 'EPROTO',
    what: 'the peer does not secure this traffic with us',
    remedy:
      'at the peer, let a socket of this library listen there, or a connection of its strongSwan cover the port, in transport mode',
  },
  {
    // To the first request: the answer of a host without a connection for us, too.
    line: /received NO_PROPOSAL_CHOSEN notify error/,
    code: 'EPROTO',
    what: 'the peer does not negotiate with this host, or the two have no common algorithms',
    remedy:
      'at the peer, let a socket of this library listen, or load a connection for this host into its strongSwan; compare ipsec.ikeProposals with its proposals',
  },
  {
    line: /received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built/,
    code: 'EPROTO',
    what: 'the two have no common algorithms for packets, or the kernel of the peer does not have them',
    remedy: 'compare ipsec.espProposals with those of the peer; see its log, and that it has ESP',
  },
  {
    line: /no (?:acceptable|matching) proposal found|received proposals unacceptable|DH group .* not (?:supported|contained)|received INVALID_KE_PAYLOAD notify error/,
    code: 'EPROTO',
    what: 'the peers have no common algorithms',
    remedy: 'compare ipsec.ikeProposals and ipsec.espProposals with those of the peer',
  },
  {
    line: /mode requested by responder is unacceptable|not using transport mode|mode .* unacceptable/,
    code: 'EPROTO',
    what: 'the peer does not use transport mode',
    remedy: 'at the peer, set mode = transport; between the hosts, translate no addresses',
  },
  {
    line: /received (\w+) notify(?: error|, no CHILD_SA built)/,
    code: 'EPROTO',
    what: 'the peer refuses to negotiate',
    remedy: 'see its log',
  },
  {
    line: /unable to resolve|error writing to socket|no socket (?:found|implementation)/,
    code: 'ETIMEDOUT',
    what: 'strongSwan cannot send to the peer',
    remedy: 'see the routes to it, and that charon has its UDP ports 500 and 4500',
  },
  {
    line: /giving up after \d+ retransmits|peer not responding|retransmit \d+ of request|will retry later/,
    code: 'ETIMEDOUT',
    what: 'no IKE daemon answers at the peer',
    remedy: 'see that one runs there, and that its UDP ports 500 and 4500 can be reached',
  },
]

/** The daemon gives the times as text. */
function validity(line: RegExpMatchArray): SocketSecurityErrorCode {
  return Date.parse(line[1] as string) > Date.now() ? 'CERT_NOT_YET_VALID' : 'CERT_HAS_EXPIRED'
}
