import type { CertifiedName } from './certified-name.js'
import type { Usage, Validity } from './options.js'

/** What a certificate says. */
export interface CertificateContents {
  /** For people to read: nothing is ever authenticated by it. */
  commonName: string
  names: readonly CertifiedName[]
  validity: Validity
  /** `'authority'` signs certificates, but no authorities below it; the others are leaves. */
  role: 'authority' | Usage
}
