/**
 * Records of messages that are made, but still stand in the output BIO, one behind the other. Where
 * they are to go they are owed: one call reads them all, as soon as anybody needs them or the BIO.
 */
import type { Pointer } from '../../../lib/memory.js'
import { BIO_CTRL_RESET, type Openssl } from '../../../lib/openssl.js'
import { SocketSecurityError } from '../../model/errors.js'

/** More than that is not owed: it is read while it is still in the processor's first cache. */
const MOST_BYTES = 16 * 1024

export class OwedRecords {
  readonly #lib: Openssl
  readonly #output: Pointer
  /** Where the first one is to stand; the others follow it. */
  #at: Pointer = 0
  #bytes = 0
  /** One is being made. Still so at the next one: what made it was cut off (a script that has a timeout). */
  #writing = false
  #broken = false

  constructor(lib: Openssl, output: Pointer) {
    this.#lib = lib
    this.#output = output
  }

  /**
   * Before the record of a message is made, which is to stand at that address.
   * @param mayOwe it need not stand there before somebody reads it
   */
  begin(at: Pointer, mayOwe: boolean): void {
    const follows = mayOwe && at === this.#at + this.#bytes && this.#bytes < MOST_BYTES
    if (this.#writing || (this.#bytes > 0 && !follows)) this.settle()
    this.#writing = true
  }

  /** It was made and read. */
  done(): void {
    this.#writing = false
  }

  /**
   * It was made and is owed: so many bytes at that address.
   * @returns whether it is the first one: then fill() must be called before they are read
   */
  owe(at: Pointer, length: number): boolean {
    this.#writing = false
    this.#bytes += length
    if (this.#bytes !== length) return false
    this.#at = at
    return true
  }

  /** Afterwards all that was owed stands where it is to stand, and nothing else is in the BIO. */
  settle(): void {
    const expected = this.#bytes
    const wasCutOff = this.#writing
    if (expected === 0 && !wasCutOff) return
    // One byte more: is there anything that nobody knows of? There is always room for it.
    const asked = wasCutOff ? expected : expected + 1
    const read = expected === 0 ? 0 : this.#lib.BIO_read(this.#output, this.#at, asked)
    this.#bytes = 0
    this.#writing = false
    if (read !== expected) this.#broken = true
    if (wasCutOff || this.#broken) this.#lib.BIO_ctrl(this.#output, BIO_CTRL_RESET, 0, 0)
  }

  /**
   * As settle(), for whoever was to have what was owed.
   * @throws SocketSecurityError EPROTO where it does not stand there: none of it may be sent
   */
  readonly fill = (): void => {
    this.settle()
    if (!this.#broken) return
    this.#broken = false
    throw new SocketSecurityError('EPROTO', 'OpenSSL gave other records than it had made')
  }
}
