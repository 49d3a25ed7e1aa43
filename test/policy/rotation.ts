/** A folder with an identity in it, written in the ways in which others write theirs. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Test } from 'tap'
import { createIdentity, type Identity } from '../../src/identity/identity.js'
import { testAuthority } from '../support/identities.js'

export interface Pair {
  readonly cert: string
  readonly key: string
}

/** Never the same twice. */
export async function newIdentity(
  names: readonly string[] = ['localhost', '127.0.0.1'],
): Promise<Identity> {
  return createIdentity({ names, authority: await testAuthority() })
}

export class Folder {
  readonly path: string
  readonly cert: URL
  readonly key: URL

  constructor(t: Test) {
    this.path = mkdtempSync(join(tmpdir(), 'credentials-'))
    t.teardown(() => rmSync(this.path, { recursive: true, force: true }))
    this.cert = this.url('tls.crt')
    this.key = this.url('tls.key')
  }

  url(name: string): URL {
    return pathToFileURL(join(this.path, name))
  }

  /** As an editor or a script does: over what is there. */
  write(name: string, content: string | Buffer): void {
    writeFileSync(join(this.path, name), content, { mode: 0o600 })
  }

  writePair({ cert, key }: Pair): void {
    this.write('tls.crt', cert)
    this.write('tls.key', key)
  }

  /** As step-ca does: a new file each, and then its name. */
  rename(name: string, content: string): void {
    this.write(`.${name}.new`, content)
    renameSync(join(this.path, `.${name}.new`), join(this.path, name))
  }

  /**
   * As a Kubernetes volume does, which is how cert-manager's certificates arrive: all files in a new
   * folder, to which one link leads, which is swapped.
   */
  swap({ cert, key }: Pair): void {
    this.#version += 1
    const version = join(this.path, `..version-${this.#version}`)
    mkdirSync(version)
    writeFileSync(join(version, 'tls.crt'), cert)
    writeFileSync(join(version, 'tls.key'), key, { mode: 0o600 })
    symlinkSync(version, join(this.path, '..data-new'))
    renameSync(join(this.path, '..data-new'), join(this.path, '..data'))
    if (this.#version > 1) {
      rmSync(join(this.path, `..version-${this.#version - 1}`), { recursive: true })
      return
    }
    for (const name of ['tls.crt', 'tls.key']) {
      symlinkSync(join('..data', name), join(this.path, name))
    }
  }

  #version = 0
}
