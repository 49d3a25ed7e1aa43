/**
 * The administrator's policy as a value: what the file says, checked, with every path absolute. The
 * files that it names have not been read: they stand in the settings as file URLs.
 */
import type { DatagramSecuritySettings, SecuritySettings } from '../settings.js'
import type { FlowRule } from './flow-rule.js'

export interface Policy {
  /** Where it was read from, for messages. */
  readonly file: string
  /** The files that it names, to be checked. */
  readonly files: readonly PolicyFile[]
  /** What it sets for each use of a socket. Files are URLs. */
  readonly settings: {
    readonly client: PolicySettings<SecuritySettings>
    readonly server: PolicySettings<SecuritySettings>
    readonly datagram: PolicySettings<DatagramSecuritySettings>
  }
  /** Whom peers must prove to be; the first that matches. */
  readonly targetNames: readonly TargetNameRule[]
  /** What `secure-socket/register` leaves alone. */
  readonly clear: readonly FlowRule[]
  /** Settings that the application may set otherwise; true: all of them. */
  readonly applicationMaySet: true | ReadonlySet<string>
}

export interface PolicyFile {
  /** Where it is named: `$.identity.key`. */
  readonly path: string
  /** Absolute. */
  readonly file: string
  /** Whoever reads it can act as us. */
  readonly secret: boolean
}

/** Settings of a socket, in which whatever is a secret or a certificate is the URL of a file. */
export type PolicySettings<Settings> = { readonly [Key in keyof Settings]?: unknown }

export interface TargetNameRule {
  readonly rule: FlowRule
  /** As `peerTargetName` takes it. */
  readonly targetName: string
}
