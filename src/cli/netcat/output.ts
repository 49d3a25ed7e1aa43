import type { Writable } from 'node:stream'

/** So much may wait for whoever reads the output; what comes then is lost, as UDP loses it. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024

/** Where datagrams are written: they cannot be told to wait. */
export class DatagramOutput {
  readonly #stdout: Writable
  readonly #lines: boolean
  /** Datagrams that nobody took in time. */
  lost = 0

  constructor(stdout: Writable, lines: boolean) {
    this.#stdout = stdout
    this.#lines = lines
  }

  write(message: Buffer): void {
    if (this.#stdout.writableLength + message.length > MAX_WAITING_BYTES) this.lost += 1
    else this.#stdout.write(this.#lines ? Buffer.concat([message, Buffer.from('\n')]) : message)
  }
}
