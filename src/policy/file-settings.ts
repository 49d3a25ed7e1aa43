/**
 * Settings whose credentials come from files, and follow them: asked for at each handshake, they look
 * at most once a second whether the files have changed. Nobody watches, and no timer runs.
 *
 * Only what is complete takes the place of what was there before. A file that is being written, a
 * key of another certificate, a file that is gone: the old ones stay, and it is said once.
 */
import type { X509Certificate } from 'node:crypto'
import { channel } from 'node:diagnostics_channel'
import type { BigIntStats } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { SocketSecurityError } from '../model/errors.js'
import { publishLater } from '../model/publish-later.js'
import {
  type AnySettings,
  forgetSettings,
  type ParsedSettings,
  parseSettings,
  type SocketKind,
} from '../model/settings.js'
import { checkCredentials } from './credential-check.js'
import { warnOfExpiry } from './expiry.js'
import { type Snapshot, stampOf, takeSnapshot } from './file-snapshot.js'
import { type CredentialFile, fillIn, fillInMarks, locateFiles } from './settings-files.js'
import type { SettingsSource } from './source.js'

/** Milliseconds between two looks at the files. */
const LOOK_INTERVAL = 1000
/** Milliseconds without a change, after which files are taken to be written completely. */
const QUIET = 1000

/** Milliseconds for which nobody else tells the same. */
const TOLD_LATELY = 60_000
const toldLately = new Map<string, { readonly by: FileSettings; readonly at: number }>()

const channels = {
  replaced: channel('secure-socket:credentials:replaced'),
  refused: channel('secure-socket:credentials:refused'),
}

/** Where the time comes from; a test gives its own. */
export interface FileClock {
  /** Milliseconds, which never go back. */
  now(): number
  /** Milliseconds since 1970. */
  wallTime(): number
}

/** Says by an error that the contents of a file with a secret may not be used. */
export type SecretFileCheck = (path: string, stats: BigIntStats) => void

const systemClock: FileClock = { now: () => performance.now(), wallTime: () => Date.now() }

/**
 * A source of settings in which `file:` URLs stand for credentials; null where there is none.
 * Sources of equal settings are one, so that what was good before is there for a new socket too.
 * @throws SocketSecurityError EINVAL where the settings are wrong, or the files cannot be used now
 */
export function fileSource(
  settings: AnySettings | null | undefined,
  kind: SocketKind,
  checkSecret?: SecretFileCheck,
): SettingsSource | null {
  const located = locateFiles(settings)
  if (located === null) return null
  const key = parseSettings(fillInMarks(located.settings), kind).fingerprint
  const sources = sourcesOf(checkSecret)
  const source =
    sources.get(key) ??
    new FileSettings(located.settings, located.files, kind, { ...systemClock, checkSecret })
  sources.delete(key)
  sources.set(key, source)
  if (sources.size > sourceLimit) sources.delete(sources.keys().next().value as string)
  return source
}

/** By the fingerprint of the settings with marks; those of one check of secrets apart from the others. */
const allSources = new Map<SecretFileCheck | undefined, Map<string, FileSettings>>()
const sourceLimit = 256

function sourcesOf(checkSecret: SecretFileCheck | undefined): Map<string, FileSettings> {
  let sources = allSources.get(checkSecret)
  if (sources === undefined) {
    sources = new Map()
    allSources.set(checkSecret, sources)
  }
  return sources
}

export class FileSettings implements SettingsSource {
  readonly #located: object
  readonly #kind: SocketKind
  readonly #files: readonly CredentialFile[]
  readonly #paths: readonly string[]
  readonly #clock: FileClock
  readonly #checkSecret: SecretFileCheck | undefined

  #settings: ParsedSettings
  /** Our own certificates in them. */
  #certificates: readonly X509Certificate[] = []
  #nextLook: number
  /** Of the files that the settings come from. */
  #stamp: string
  /** They were quiet when they were read: the same stamp is the same contents. */
  #settled: boolean
  /** A digest of newer contents that were not quiet yet. */
  #fresh: string | undefined
  /** Why newer contents were refused, when they were looked at last. */
  #refused: string | undefined
  #warned: string | undefined

  /** @throws SocketSecurityError EINVAL */
  constructor(
    located: object,
    files: readonly CredentialFile[],
    kind: SocketKind,
    {
      checkSecret,
      ...clock
    }: FileClock & { checkSecret?: SecretFileCheck | undefined } = systemClock,
  ) {
    this.#located = located
    this.#files = files
    this.#paths = [...new Set(files.map(({ path }) => path))]
    this.#kind = kind
    this.#clock = clock
    this.#checkSecret = checkSecret
    try {
      const snapshot = this.#read()
      this.#settings = this.#parse(snapshot)
      this.#certificates = checkCredentials(this.#settings)
      this.#stamp = snapshot.stamp
      this.#settled = this.#isQuiet(snapshot)
    } catch (error) {
      throw unusable(this.#files, error as Error)
    }
    this.#nextLook = clock.now() + LOOK_INTERVAL
    this.#warnOfExpiry()
  }

  current(): ParsedSettings {
    const now = this.#clock.now()
    if (now >= this.#nextLook) {
      this.#nextLook = now + LOOK_INTERVAL
      this.#look()
      this.#warnOfExpiry()
    }
    return this.#settings
  }

  #look(): void {
    let stamp = ''
    let quiet = false
    try {
      stamp = stampOf(this.#paths)
      if (stamp === this.#stamp && this.#settled) {
        this.#forgetRefusal()
        return
      }
      const snapshot = this.#read()
      stamp = snapshot.stamp
      quiet = this.#isQuiet(snapshot)
      this.#take(snapshot, quiet)
    } catch (error) {
      this.#refuse(error as Error, stamp, quiet)
    }
  }

  /** @throws where the contents are not complete, or do not belong together */
  #take(snapshot: Snapshot, quiet: boolean): void {
    const settings = this.#parse(snapshot)
    if (settings.fingerprint === this.#settings.fingerprint) {
      this.#keep(snapshot, quiet)
      return
    }
    // Half of a chain is a chain too, and half of a bundle a bundle. Whoever writes goes on soon.
    if (!quiet && this.#fresh !== settings.fingerprint) {
      this.#fresh = settings.fingerprint
      forgetSettings(settings)
      return
    }
    try {
      this.#certificates = checkCredentials(settings)
    } catch (error) {
      forgetSettings(settings)
      throw error
    }
    const before = this.#settings
    this.#settings = settings
    this.#keep(snapshot, quiet)
    // Its keys are to go with the last connection that uses them.
    forgetSettings(before)
    if (channels.replaced.hasSubscribers) {
      publishLater(channels.replaced, { files: this.#paths, certificates: this.#certificates })
    }
  }

  /** What is in use is what is in the files. */
  #keep({ stamp }: Snapshot, quiet: boolean): void {
    this.#stamp = stamp
    this.#settled = quiet
    this.#fresh = undefined
    this.#forgetRefusal()
  }

  /** Said when it is no mere moment between two files: they are quiet, or it was so a look ago. */
  #refuse(error: Error, stamp: string, quiet: boolean): void {
    const refused = `${stamp} ${error.message}`
    const lasts = quiet || this.#refused === refused
    this.#refused = refused
    if (!lasts || this.#warned === refused) return
    this.#warned = refused
    const explained = unusable(this.#files, error)
    if (this.#isToldByAnother(explained.message)) return
    process.emitWarning(`${explained.message}. The credentials read before stay in use`, {
      code: 'SECURE_SOCKET_CREDENTIALS_REFUSED',
    })
    if (channels.refused.hasSubscribers) {
      publishLater(channels.refused, { files: this.#paths, error: explained })
    }
  }

  /** Streams and datagrams may have the same files, and each a source. */
  #isToldByAnother(message: string): boolean {
    const now = this.#clock.now()
    const last = toldLately.get(message)
    if (last !== undefined && last.by !== this && now - last.at < TOLD_LATELY) return true
    toldLately.set(message, { by: this, at: now })
    if (toldLately.size > 100) toldLately.delete(toldLately.keys().next().value as string)
    return false
  }

  #forgetRefusal(): void {
    this.#refused = undefined
    this.#warned = undefined
  }

  #read(): Snapshot {
    const secrets = new Set(this.#files.filter(file => file.secret).map(({ path }) => path))
    return takeSnapshot(this.#paths, (path, stats) => {
      if (secrets.has(path)) this.#checkSecret?.(path, stats)
    })
  }

  #parse({ contents }: Snapshot): ParsedSettings {
    return parseSettings(fillIn(this.#located, contents), this.#kind)
  }

  /** A clock that goes after ours, of another host, would keep its files from ever being quiet. */
  #isQuiet({ writtenAt }: Snapshot): boolean {
    const age = this.#clock.wallTime() - writtenAt
    return age >= QUIET || age < 0
  }

  #warnOfExpiry(): void {
    const now = this.#clock.wallTime()
    for (const certificate of this.#certificates) {
      warnOfExpiry(certificate, this.#paths.join(', '), now)
    }
  }
}

function unusable(files: readonly CredentialFile[], cause: Error): Error {
  const where = files.map(({ setting, path }) => `${setting} ${path}`).join(', ')
  return new SocketSecurityError(
    'EINVAL',
    `the files of ${where} cannot be used: ${cause.message}`,
    { syscall: 'WSASetSocketSecurity', cause },
  )
}
