/** Which OpenSSL is called: the one inside the process, else the system's, else none and why. */

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { loadKoffi } from '../../../lib/koffi.js'
import { addressOf, createArena } from '../../../lib/memory.js'
import { findOpenssl, openssl } from '../../../src/providers/dtls/openssl.js'
import { inOneFile } from '../../support/one-file.js'

/** A library that has nothing but its version, if that. */
function library(text?: string, number = 0) {
  const functions: Record<string, () => unknown> = {
    OpenSSL_version: () => text,
    OpenSSL_version_num: () => number,
  }
  return {
    func(signature: string) {
      const found = /(\w+)\(/.exec(signature)?.[1] ?? ''
      if (text === undefined || !(found in functions)) throw new Error(`no ${found}`)
      return functions[found]
    },
  }
}

const loader = (own: object, others?: (name: string) => object) =>
  ({
    load(path: string | null) {
      if (path === null) return own
      if (others === undefined) throw new Error(`cannot open ${path}`)
      return others(path)
    },
  }) as never

t.test('the one inside the process', t => {
  t.match(openssl().version, /^OpenSSL 3\./)
  t.match(openssl().version, process.versions.openssl.replace(/\+.*/, ''))
  t.equal(openssl(), openssl(), 'bound once')
  t.equal(findOpenssl(loadKoffi()).version, openssl().version)
  t.end()
})

t.test('another library inside the process is never used, nor is one beside it', t => {
  for (const [text, number] of [
    ['BoringSSL', 0x1010107f],
    ['LibreSSL 3.9.0', 0x20000000],
    ['OpenSSL 1.1.1w  11 Sep 2023', 0x1010117f],
  ] as const) {
    const others = () => library('OpenSSL 3.0.0', 0x30000000)
    t.throws(() => findOpenssl(loader(library(text, number), others)), {
      code: 'ERR_OPENSSL_UNSUPPORTED',
      message: new RegExp(`${text.slice(0, 9)}.*streams are`),
    })
  }
  t.end()
})

t.test('where there is none, the error says what was tried', t => {
  t.throws(() => findOpenssl(loader(library())), {
    code: 'ERR_OPENSSL_UNSUPPORTED',
    message: /this process exports no OpenSSL.*(libssl|cannot open|no other place)/,
  })
  t.throws(() => findOpenssl(loader(library('OpenSSL 3.0.0', 0x30000000))), {
    code: 'ERR_OPENSSL_UNSUPPORTED',
    message: /no BIO|no ERR/,
  })
  t.end()
})

t.test('one of the system that is too old is not used', { skip: noPlace() }, t => {
  const old = () => library('OpenSSL 1.1.1w', 0x1010117f)
  t.throws(() => findOpenssl(loader(library(), old)), {
    code: 'ERR_OPENSSL_UNSUPPORTED',
    message: /libcrypto.*OpenSSL 1\.1\.1w/,
  })
  t.end()
})

// On Windows a library that is asked for by its name alone can be anybody's.
t.test('a library beside the program is never looked for', { skip: place() }, t => {
  const asked: string[] = []
  const others = (name: string) => {
    asked.push(name)
    return library('OpenSSL 3.0.0', 0x30000000)
  }
  t.throws(() => findOpenssl(loader(library(), others)), { code: 'ERR_OPENSSL_UNSUPPORTED' })
  t.same(asked, [])
  t.end()
})

function place(): string | false {
  return noPlace() ? false : 'the system has its place for it'
}

function noPlace(): string | false {
  return ['linux', 'darwin'].includes(process.platform) ? false : 'the system has no place for it'
}

t.test("the system's, where the process exports none", async t => {
  try {
    loadKoffi().load('libssl.so.3')
  } catch {
    t.pass('not here', { skip: 'the system has no libssl.so.3' })
    return
  }
  // In a process of its own, whose own OpenSSL is hidden.
  const program = await inOneFile(t, new URL('system-openssl.ts', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [program])
  t.match(stdout, /^OpenSSL 3\..*: question, answer\n$/)
})

t.test('an arena stays where it is', t => {
  const arena = createArena(4096)
  const litter = Array.from({ length: 200 }, () => Buffer.alloc(100_000))
  t.equal(addressOf(arena.bytes), arena.address)
  t.equal(litter.length, 200)
  t.end()
})
