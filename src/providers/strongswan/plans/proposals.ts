/**
 * Which algorithms may protect IKE and the packets. The library's own are those that every strongSwan
 * of today has; others may be given, but only such as are known here to be strong, since what a peer
 * proposes decides too.
 */
import { SocketSecurityError, show } from '../../../model/errors.js'

/** Best first; groups that Debian's packages have without further plugins. */
export const defaultIkeProposals: readonly string[] = Object.freeze([
  'aes128gcm16-prfsha256-ecp256',
  'aes128gcm16-prfsha256-curve25519',
  'aes256gcm16-prfsha384-ecp384',
])

/** Each with a group: every renewal of keys makes a new secret (perfect forward secrecy). */
export const defaultEspProposals: readonly string[] = Object.freeze([
  'aes128gcm16-ecp256',
  'aes128gcm16-curve25519',
  'aes256gcm16-ecp384',
])

/** With a tag of 16 bytes, and 12 where a device has nothing else (RFC 8221, section 5). */
const aead = /^(aes(128|192|256)(gcm|ccm)(12|16|96|128)|chacha20poly1305)$/
const encryption = /^(aes|aes128|aes192|aes256|(aes|camellia)(128|192|256)(ctr)?)$/
/** They authenticate and do not encrypt. */
const authenticationOnly = /^(null|aes(128|192|256)gmac)$/
const integrity = /^(sha256|sha384|sha512|sha2_256|sha2_384|sha2_512|aesxcbc|aescmac)$/
const randomness = /^prf(sha256|sha384|sha512|aesxcbc|aescmac)$/
const group =
  /^(modp(2048|3072|4096|6144|8192)|ecp(256|384|521)|ecp(256|384|512)bp|(curve|x)(25519|448)|ke[1-7]_mlkem(512|768|1024)|mlkem(512|768|1024))$/
const sequenceNumbers = /^(no)?esn$/

/**
 * @param encrypts whether every packet must be encrypted (guaranteeEncryption)
 * @throws SocketSecurityError EINVAL, naming the proposal and what is wrong with it
 */
export function checkEspProposals(proposals: readonly string[], encrypts: boolean): void {
  for (const proposal of proposals) {
    const parts = partsOf('espProposals', proposal, [sequenceNumbers])
    if (parts.some(each => randomness.test(each)))
      throw refused('espProposals', proposal, 'a prf belongs to ikeProposals')
    if (encrypts && parts.some(each => authenticationOnly.test(each)))
      throw refused(
        'espProposals',
        proposal,
        'it does not encrypt, which needs an explicit guaranteeEncryption: false',
      )
  }
}

/** @throws SocketSecurityError EINVAL, naming the proposal and what is wrong with it */
export function checkIkeProposals(proposals: readonly string[]): void {
  for (const proposal of proposals) {
    const parts = partsOf('ikeProposals', proposal, [])
    if (parts.some(each => authenticationOnly.test(each)))
      throw refused('ikeProposals', proposal, 'IKE itself is always encrypted')
    if (!parts.some(each => group.test(each)))
      throw refused('ikeProposals', proposal, 'IKE needs a group, such as ecp256')
    if (parts.some(each => aead.test(each)) && !parts.some(each => randomness.test(each)))
      throw refused('ikeProposals', proposal, 'it needs a prf, such as prfsha256')
  }
}

function partsOf(key: string, proposal: string, more: readonly RegExp[]): readonly string[] {
  const parts = proposal.split('-')
  const known = [aead, encryption, authenticationOnly, integrity, randomness, group, ...more]
  const unknown = parts.find(part => !known.some(each => each.test(part)))
  if (unknown !== undefined)
    throw refused(key, proposal, `${show(unknown)} is not among the algorithms known to be strong`)
  const combined = parts.filter(each => aead.test(each) || /gmac$/.test(each))
  const plain = parts.filter(each => encryption.test(each) || each === 'null')
  const checks = parts.filter(each => integrity.test(each))
  if (combined.length + plain.length === 0)
    throw refused(key, proposal, 'it names no encryption, such as aes128gcm16')
  // Two kinds in one proposal would be two proposals to strongSwan: say what is meant.
  if (combined.length > 0 && plain.length + checks.length > 0)
    throw refused(
      key,
      proposal,
      'AES-GCM and its like stand without another algorithm or integrity',
    )
  if (plain.length > 0 && checks.length === 0)
    throw refused(key, proposal, 'packets must be authenticated: add an integrity such as sha256')
  return parts
}

function refused(key: string, proposal: string, why: string): SocketSecurityError {
  return new SocketSecurityError(
    'EINVAL',
    `security.ipsec.${key} has ${show(proposal)}, which cannot be used: ${why}`,
    { syscall: 'WSASetSocketSecurity' },
  )
}
