/** What passes between the guest's hosts, as tcpdump on the device `wire` sees it. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import dgram from 'node:dgram'
import type { Readable } from 'node:stream'
import type { Test } from 'tap'
import { until } from '../../support/until.js'
import { type Packet, PacketReader } from './packets.js'

/** Nobody listens there, and nobody secures it. */
const MARK_PORT = 9

/** Looks on for as long as the test lasts. */
export async function watchWire(t: Test): Promise<Wire> {
  const args = ['-Z', 'root', '-n', '-U', '--immediate-mode', '-i', 'wire', '-w', '-']
  const tcpdump = spawn('on', ['wire', 'tcpdump', ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => tcpdump.kill('SIGKILL'))
  const wire = new Wire(tcpdump)
  // From here on, it misses nothing.
  await wire.settled()
  wire.forget()
  return wire
}

export class Wire {
  #packets: Packet[] = []
  #complaints = ''

  constructor(tcpdump: ChildProcessByStdio<null, Readable, Readable>) {
    const reader = new PacketReader()
    tcpdump.stdout.on('data', bytes => this.#packets.push(...reader.read(bytes)))
    tcpdump.stderr.on('data', text => {
      this.#complaints += text
    })
  }

  /** All since the beginning, or since it was told to forget; everything sent before the call is in it. */
  async packets(): Promise<Packet[]> {
    await this.settled()
    return this.#packets.filter(packet => packet.toPort !== MARK_PORT && !quotes(packet, MARK_PORT))
  }

  /** Begins anew. */
  forget(): void {
    this.#packets = []
  }

  /** Waits until all that has been sent until now has been seen: a mark, which is sent now, has. */
  async settled(): Promise<void> {
    const marks: string[] = []
    const socket = dgram.createSocket('udp4')
    const timer = setInterval(() => {
      const mark = randomUUID()
      marks.push(mark)
      socket.send(mark, MARK_PORT, '10.9.0.3')
    }, 20)
    try {
      await until('a mark', () =>
        marks.some(mark => this.#packets.some(each => each.bytes.includes(mark))),
      )
    } catch {
      throw new Error(`tcpdump does not see what is sent: ${this.#complaints}`)
    } finally {
      clearInterval(timer)
      socket.close()
    }
  }
}

/** What anybody can read of a flow of that port: its own packets, and errors that quote them. */
export function inClear(packets: readonly Packet[], port: number): Packet[] {
  return packets.filter(
    packet => packet.toPort === port || packet.fromPort === port || quotes(packet, port),
  )
}

/** The secured packets from one address to another. */
export function secured(packets: readonly Packet[], from: string, to: string): Packet[] {
  return packets.filter(each => each.protocol === 'esp' && each.from === from && each.to === to)
}

/** Whether these bytes can be read anywhere. */
export function shows(packets: readonly Packet[], text: string): boolean {
  return packets.some(packet => packet.bytes.includes(text))
}

/** An ICMP error has the packet in it that it is about, from the eighth byte on. */
function quotes({ protocol, payload, bytes }: Packet, port: number): boolean {
  if (protocol !== 'icmp') return false
  const header = bytes.readUInt16BE(12) === 0x0800 ? ((payload[8] ?? 0) & 15) * 4 : 40
  const ports = payload.subarray(8 + header, 8 + header + 4)
  return ports.length === 4 && (ports.readUInt16BE(0) === port || ports.readUInt16BE(2) === port)
}

/** In words, for the message of a failed test. */
export function inWords(packets: readonly Packet[]): string[] {
  return packets.map(
    ({ protocol, from, fromPort, to, toPort, payload }) =>
      `${protocol} ${from}:${fromPort} > ${to}:${toPort}, ${payload.length} bytes`,
  )
}
