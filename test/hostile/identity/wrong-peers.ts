/**
 * The ways to be the wrong peer, as one table. Whoever is contacted, or makes contact, must prove to
 * be PEER_NAME to a socket that trusts the test authority. Each way here is a certificate, or the key
 * of one, that does not do it; those by sessions, in clear, and by pre-shared keys have files of their
 * own beside this one.
 */
import {
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  type X509Certificate,
} from 'node:crypto'
import type { Test } from 'tap'
import { makeCertificate } from '../../../src/identity/x509.js'
import { revocationList } from '../../interop/authority.js'
import {
  expiredIdentity,
  futureIdentity,
  selfSignedIdentity,
  strangerIdentity,
  testAuthority,
  testIdentity,
} from '../../support/identities.js'

/** Who the peer has to be. */
export const PEER_NAME = 'peer.example'

export interface WrongPeer {
  readonly way: string
  readonly cert: string
  readonly key: string
  /** What our error has as its code, in every role and over every protocol. */
  readonly code: string
  /** Of those that share a code: what its message says was proved. */
  readonly message?: RegExp
  /** What it has to prove, where that is not PEER_NAME. */
  readonly name?: string
  /** What our end is set to besides. */
  readonly ours?: { readonly crl: string }
  /**
   * Only its name is wrong. A server of streams has no name for those who come: there it is who it
   * says it is, and the application reads that name.
   */
  readonly byNameAlone?: true
}

export async function wrongPeers(t: Test): Promise<WrongPeer[]> {
  const names = [PEER_NAME]
  const right = await testIdentity(names)
  const revoked = await testIdentity(names, { days: 2 })
  const pinned = await selfSignedIdentity(['whoever.example'])
  const mismatch = 'ERR_PEER_TARGET_NAME_MISMATCH'
  return [
    {
      way: 'expired',
      ...(await expiredIdentity(names)),
      code: 'CERT_HAS_EXPIRED',
    },
    {
      way: 'not yet valid',
      ...(await futureIdentity(names)),
      code: 'CERT_NOT_YET_VALID',
    },
    {
      way: 'another name',
      ...(await testIdentity(['other.example'])),
      code: mismatch,
      message: /not peer\.example: .*other\.example/,
      byNameAlone: true,
    },
    {
      way: 'the name stands in CN only',
      ...(await nameInCnOnly()),
      code: mismatch,
      message: /not peer\.example: .*no name/,
      byNameAlone: true,
    },
    {
      way: 'another authority',
      ...(await strangerIdentity(names)),
      code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    },
    {
      way: 'self-signed',
      ...(await selfSignedIdentity(names)),
      code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
    },
    {
      way: 'revoked',
      cert: revoked.cert,
      key: revoked.key,
      ours: { crl: await revocationList(t, revoked.cert) },
      code: 'CERT_REVOKED',
    },
    {
      way: 'another key than the pinned one',
      ...right,
      name: pinned.pin,
      code: mismatch,
      message: /not sha256\/.*: .*sha256\//,
      byNameAlone: true,
    },
    {
      way: 'the certificate of the right peer, without its key',
      ...anothersCertificate(right, (await testIdentity(['thief.example'])).key),
      code: 'ERR_SSL_BAD_SIGNATURE',
    },
  ]
}

/** Of a peer that connects or is connected to, the purpose that its certificate must not have. */
export async function wrongPurpose(role: 'server' | 'client'): Promise<WrongPeer> {
  return {
    way: `a certificate for ${role === 'server' ? 'clients' : 'servers'} only`,
    ...(await testIdentity([PEER_NAME], { usage: role === 'server' ? 'client' : 'server' })),
    code: 'INVALID_PURPOSE',
  }
}

/** The authority vouches for it, and it has no alternative name: its common name is text for people. */
async function nameInCnOnly(): Promise<{ cert: string; key: string }> {
  const { cert, key } = await testAuthority()
  const { X509Certificate } = await import('node:crypto')
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const now = Date.now()
  const validity = { notBefore: new Date(now - 60_000), notAfter: new Date(now + 3_600_000) }
  const certificate: X509Certificate = await makeCertificate(
    { role: 'both', commonName: PEER_NAME, names: [], validity },
    publicKey,
    { certificate: new X509Certificate(cert), privateKey: createPrivateKey(key) },
  )
  return { cert: certificate.toString(), key: pem(privateKey) }
}

/**
 * Somebody's certificate, and a key that is not the one of it. OpenSSL takes no such pair, so the key
 * file says that its public half is that of the certificate, and the private half is the thief's:
 * OpenSSL compares the public ones. What it signs then proves nothing.
 */
function anothersCertificate(
  { cert, key }: { cert: string; key: string },
  thiefs: string,
): { cert: string; key: string } {
  const right = createPrivateKey(key)
  const forged = right.export({ type: 'pkcs8', format: 'der' })
  const scalar = (of: KeyObject) =>
    Buffer.from(of.export({ format: 'jwk' }).d as string, 'base64url')
  scalar(createPrivateKey(thiefs)).copy(forged, forged.indexOf(scalar(right)))
  return { cert, key: pem(createPrivateKey({ key: forged, format: 'der', type: 'pkcs8' })) }
}

function pem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }) as string
}
