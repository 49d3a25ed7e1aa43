/** Packets as somebody between the hosts sees them: tcpdump's bytes, taken apart. */

export interface Packet {
  /** Seconds, as the guest's clock has them. */
  readonly time: number
  readonly protocol: 'esp' | 'udp' | 'tcp' | 'icmp' | 'other'
  readonly from: string
  readonly to: string
  /** 0 where the protocol has no ports. */
  readonly fromPort: number
  readonly toPort: number
  /** What follows the header of UDP or TCP; for the others all that follows IP. */
  readonly payload: Buffer
  /** All of it. */
  readonly bytes: Buffer
}

/** Takes a stream of tcpdump's (`-w -`) apart, piece by piece as it comes. */
export class PacketReader {
  #rest: Buffer = Buffer.alloc(0)
  #started = false

  /** The packets that are complete with these bytes. */
  read(bytes: Buffer): Packet[] {
    this.#rest = Buffer.concat([this.#rest, bytes])
    const packets: Packet[] = []
    if (!this.#started && this.#rest.length >= 24) {
      // Microseconds and the order of bytes of this machine are all that tcpdump writes here.
      if (this.#rest.readUInt32LE(0) !== 0xa1b2c3d4)
        throw new Error('this is no capture of tcpdump')
      this.#started = true
      this.#rest = this.#rest.subarray(24)
    }
    while (this.#started && this.#rest.length >= 16) {
      const end = 16 + this.#rest.readUInt32LE(8)
      if (this.#rest.length < end) break
      const time = this.#rest.readUInt32LE(0) + this.#rest.readUInt32LE(4) / 1e6
      packets.push(packet(time, this.#rest.subarray(16, end)))
      this.#rest = this.#rest.subarray(end)
    }
    return packets
  }
}

const ETHERNET = 14
const PROTOCOLS = { 1: 'icmp', 6: 'tcp', 17: 'udp', 50: 'esp', 58: 'icmp' } as const

function packet(time: number, bytes: Buffer): Packet {
  const type = bytes.readUInt16BE(12)
  const ip = bytes.subarray(ETHERNET)
  if (type === 0x0800) {
    const [from, to] = [address4(ip.subarray(12, 16)), address4(ip.subarray(16, 20))]
    const length = ((ip[0] ?? 0) & 15) * 4
    return inside(time, bytes, from, to, ip[9], ip.subarray(length, ip.readUInt16BE(2)))
  }
  if (type === 0x86dd) {
    const [from, to] = [address6(ip.subarray(8, 24)), address6(ip.subarray(24, 40))]
    return inside(time, bytes, from, to, ip[6], ip.subarray(40, 40 + ip.readUInt16BE(4)))
  }
  return inside(time, bytes, '', '', undefined, ip)
}

function inside(
  time: number,
  bytes: Buffer,
  from: string,
  to: string,
  number: number | undefined,
  data: Buffer,
): Packet {
  const protocol = PROTOCOLS[number as keyof typeof PROTOCOLS] ?? 'other'
  const common = { time, bytes, from, to, protocol }
  if (protocol === 'udp' || protocol === 'tcp') {
    const header = protocol === 'udp' ? 8 : ((data[12] ?? 0) >> 4) * 4
    const [fromPort, toPort] = [data.readUInt16BE(0), data.readUInt16BE(2)]
    return { ...common, fromPort, toPort, payload: data.subarray(header) }
  }
  return { ...common, fromPort: 0, toPort: 0, payload: data }
}

function address4(bytes: Buffer): string {
  return bytes.join('.')
}

/** Good enough for the guest's own addresses, fd09::1 and their like. */
function address6(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16))
  return groups.join(':').replace(/(?:^|:)0(?::0)+(?::|$)/, '::')
}
