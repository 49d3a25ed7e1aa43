// What scripts/memory.mjs must find before it counts: mistakes with memory, made on purpose by the same way
// that all calls of OpenSSL go. node scripts/memory-control.mjs none|'use after free'|'double free'|overrun

import { createRequire } from 'node:module'

const koffi = createRequire(import.meta.url)('koffi')
const node = koffi.load(null)
const method = node.func('intptr_t DTLS_client_method()')
const newContext = node.func('intptr_t SSL_CTX_new(intptr_t method)')
const freeContext = node.func('void SSL_CTX_free(intptr_t ctx)')
const newSsl = node.func('intptr_t SSL_new(intptr_t ctx)')
const freeSsl = node.func('void SSL_free(intptr_t ssl)')
const handshake = node.func('int SSL_do_handshake(intptr_t ssl)')
const malloc = node.func('intptr_t malloc(size_t size)')
const free = node.func('void free(intptr_t address)')
const memset = node.func('intptr_t memset(intptr_t address, int byte, size_t size)')

const context = newContext(method())
const ssl = newSsl(context)
const block = malloc(64)

const mistakes = {
  none() {
    memset(block, 1, 64)
    freeSsl(ssl)
    free(block)
  },
  'use after free'() {
    freeSsl(ssl)
    handshake(ssl)
  },
  'double free'() {
    freeSsl(ssl)
    freeSsl(ssl)
  },
  overrun() {
    memset(block, 1, 72)
    free(block)
  },
}

mistakes[process.argv[2]]()
freeContext(context)
