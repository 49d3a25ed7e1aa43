/** A peer chooses among what we propose, so nothing weak may be among it. */
import t from 'tap'
import {
  checkEspProposals,
  checkIkeProposals,
  defaultEspProposals,
  defaultIkeProposals,
} from '../../../../src/providers/strongswan/plans/proposals.js'

const esp = (proposal: string, encrypts = true) => checkEspProposals([proposal], encrypts)
const ike = (proposal: string) => checkIkeProposals([proposal])

t.test('our own are accepted, begin with AES-128-GCM, and renew secrets', async t => {
  checkEspProposals(defaultEspProposals, true)
  checkIkeProposals(defaultIkeProposals)
  t.match(defaultEspProposals[0], /^aes128gcm16-/)
  t.match(defaultIkeProposals[0], /^aes128gcm16-/)
  for (const each of defaultEspProposals) t.match(each, /-(ecp\d+|curve25519)$/)
})

t.test('what is known to be strong is accepted', async t => {
  for (const proposal of [
    'aes256gcm16',
    'aes128gcm16-aes256gcm16-ecp256-modp3072',
    'chacha20poly1305-x25519',
    'aes128ccm12',
    'aes256-sha256-modp2048',
    'aes-sha512-ecp384-esn-noesn',
    'camellia256-sha2_256',
    'aes256gcm16-ecp384-ke1_mlkem768',
  ])
    t.doesNotThrow(() => esp(proposal), proposal)
  for (const proposal of [
    'aes256gcm16-prfsha384-ecp384',
    'aes256-sha256-modp3072',
    'aes256ctr-sha512-prfsha512-curve448',
  ])
    t.doesNotThrow(() => ike(proposal), proposal)
})

t.test('what is not is refused, and named', async t => {
  for (const proposal of [
    'default',
    '3des-sha256',
    'des-sha256',
    'blowfish-sha256',
    'aes128-sha1',
    'aes128-md5',
    'aes128gcm8',
    'aes128gcm16-modp1024',
    'aes128gcm16-modp1536',
    'aes128gcm16-ecp192',
    'aes128gcm16-modpnone',
    'constructor',
  ]) {
    const error = { code: 'EINVAL', message: new RegExp(`"${proposal}".*known to be strong`) }
    t.throws(() => esp(proposal), error, proposal)
    t.throws(() => ike(proposal), error, proposal)
  }
})

t.test('a proposal is whole', async t => {
  for (const [proposal, message] of [
    ['ecp256', /no encryption/],
    ['sha256', /no encryption/],
    ['aes128', /must be authenticated/],
    ['aes128gcm16-sha256', /without another/],
    ['aes128gcm16-aes128', /without another/],
    ['aes128gcm16-prfsha256', /prf belongs to ikeProposals/],
  ] as const)
    t.throws(() => esp(proposal), { code: 'EINVAL', message }, proposal)
  for (const [proposal, message] of [
    ['aes128gcm16-prfsha256', /needs a group/],
    ['aes128gcm16-ecp256', /needs a prf/],
    ['null-sha256-ecp256', /always encrypted/],
    ['aes128gcm16-prfsha256-ecp256-esn', /known to be strong/],
  ] as const)
    t.throws(() => ike(proposal), { code: 'EINVAL', message }, proposal)
})

// R14: no packet is sent unless it is encrypted.
t.test('packets are encrypted unless the settings say otherwise', async t => {
  for (const proposal of ['null-sha256', 'aes128gmac', 'aes128gmac-ecp256', 'aes128-null-sha256']) {
    t.throws(
      () => esp(proposal),
      { code: 'EINVAL', message: /does not encrypt.*guaranteeEncryption: false/ },
      proposal,
    )
    t.doesNotThrow(() => esp(proposal, false), proposal)
  }
  // Neither encrypted nor authenticated: never.
  t.throws(() => esp('null', false), { code: 'EINVAL', message: /must be authenticated/ })
})
