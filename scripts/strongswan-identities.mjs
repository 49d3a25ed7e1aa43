// The certificates that the guest's hosts identify themselves with.

import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Makes them in a new folder, as hosts.sh says which. Takes openssl. */
export function makeIdentities(folder) {
  mkdirSync(folder)
  makeAuthority(folder, 'ca')
  makeAuthority(folder, 'stranger')
  makeIdentity(folder, 'ca', 'a', 'a', 1)
  makeIdentity(folder, 'ca', 'b', 'b', 2)
  makeIdentity(folder, 'ca', 'c', 'c', 3)
  makeIdentity(folder, 'stranger', 'b', 'stranger-b', 2)
}

function makeAuthority(folder, name) {
  const options = ['-days', '2', '-subj', `/CN=${name}`]
  const extensions = ['basicConstraints=critical,CA:true', 'keyUsage=critical,keyCertSign,cRLSign']
  openssl(folder, [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
    ...['-config', '/dev/null'],
    ...['-keyout', `${name}.key`, '-out', `${name}.pem`, ...options],
    ...extensions.flatMap(extension => ['-addext', extension]),
  ])
}

function makeIdentity(folder, authority, host, file, number) {
  const names = [
    `DNS:${host}.example`,
    `IP:10.9.0.${number}`,
    `IP:fd09::${number}`,
    `email:${host}@example`,
  ]
  writeFileSync(join(folder, `${file}.extensions`), `subjectAltName=${names}\n`)
  const request = ['-nodes', '-subj', `/O=Example/CN=${host}.example`, '-config', '/dev/null']
  openssl(folder, [
    ...['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', ...request],
    ...['-keyout', `${file}.key`, '-out', `${file}.csr`],
  ])
  openssl(folder, [
    ...['x509', '-req', '-in', `${file}.csr`, '-days', '2', '-CAcreateserial'],
    ...['-CA', `${authority}.pem`, '-CAkey', `${authority}.key`],
    ...['-extfile', `${file}.extensions`, '-out', `${file}.pem`],
  ])
}

function openssl(cwd, args) {
  const { status, stderr, error } = spawnSync('openssl', args, { cwd, encoding: 'utf8' })
  if (error || status !== 0) throw new Error(`openssl ${args[0]}: ${error?.message ?? stderr}`)
}
