/** Makes one bit another: of the byte `bit >> 3`, the lowest first. */
export function flipBit(bytes: Buffer, bit: number): void {
  bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7))
}
