/** What stands in the place of strongSwan's daemon: it speaks VICI, and says what a test wants. */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { decodeMessage } from '../../../src/providers/strongswan/vici/decode.js'
import { encodeMessage } from '../../../src/providers/strongswan/vici/encode.js'
import {
  COMMAND_REQUEST,
  COMMAND_RESPONSE,
  COMMAND_UNKNOWN,
  EVENT,
  EVENT_CONFIRM,
  EVENT_REGISTER,
  EVENT_UNKNOWN,
  EVENT_UNREGISTER,
  Packets,
} from '../../../src/providers/strongswan/vici/packets.js'
import type { Message, Section } from '../../../src/providers/strongswan/vici/section.js'
import { event } from '../../support/events.js'

/** One connection, as the daemon has it. */
export interface FakeClient {
  /** An event for this connection, if it has registered for it. */
  event(name: string, message: Message): void
  /** Whatever a daemon should not send. */
  raw(bytes: Buffer): void
  readonly socket: Socket
}

/** The answer to a command; undefined for none at all. */
export type Answer = (
  request: Section,
  client: FakeClient,
) => Message | undefined | Promise<Message | undefined>

export interface FakeVici {
  readonly path: string
  /** By the name of the command; a command without one is unknown. May be changed at any time. */
  readonly answers: Record<string, Answer>
  /** What can be registered for. */
  readonly events: Set<string>
  /** What was asked, in order; registrations too, as `+event` and `-event`. */
  readonly asked: { readonly command: string; readonly message: Section }[]
  readonly clients: ReadonlySet<FakeClient>
  /** An event for all who have registered for it. */
  emit(name: string, message: Message): void
  /** As a daemon that ends: every connection is closed, and the socket is gone. */
  stop(): Promise<void>
  /** Listens again, at the same path. It does from the beginning. */
  start(): Promise<void>
}

const knownEvents = [
  ...['ike-updown', 'ike-rekey', 'child-updown', 'child-rekey', 'control-log', 'log', 'alert'],
  ...['list-sa', 'list-policy', 'list-conn', 'list-cert', 'list-authority'],
]

/** A fake daemon at a path of its own, until the end of the test. */
export async function fakeVici(t: Test, answers: Record<string, Answer> = {}): Promise<FakeVici> {
  // The path of a unix socket is short, and a test's own folder may be deep.
  const directory = mkdtempSync(join(tmpdir(), 'vici-'))
  const path = join(directory, 'charon.vici')
  const events = new Set(knownEvents)
  const asked: FakeVici['asked'] = []
  const clients = new Set<FakeClient>()
  let server = createServer(serve)
  const fake = { path, answers: { ...answers }, events, asked, clients, emit, stop, start }
  await start()
  t.teardown(async () => {
    await stop()
    rmSync(directory, { recursive: true })
  })
  return fake

  async function start() {
    server = createServer(serve).listen(path)
    await event(server, 'listening')
  }

  async function stop() {
    if (!server.listening) return
    for (const { socket } of clients) socket.destroy()
    clients.clear()
    await new Promise(resolve => server.close(resolve))
  }

  function emit(name: string, message: Message) {
    for (const client of clients) client.event(name, message)
  }

  function serve(socket: Socket) {
    const packets = new Packets()
    const registered: string[] = []
    const client: FakeClient = {
      socket,
      raw: bytes => socket.write(bytes),
      // Once for each registration, as the daemon does.
      event: (name, message) => {
        for (const each of registered) if (each === name) socket.write(packet(EVENT, message, name))
      },
    }
    clients.add(client)
    // One after the other, as they come.
    let last = Promise.resolve()
    socket.on('error', () => {})
    socket.on('close', () => clients.delete(client))
    socket.on('data', chunk => {
      for (const bytes of packets.push(chunk as Buffer))
        last = last.then(() => answer(bytes, client, registered))
    })
  }

  async function answer(bytes: Buffer, client: FakeClient, registered: string[]) {
    const [type, length] = bytes as unknown as [number, number]
    const name = bytes.toString('latin1', 2, 2 + length)
    const message = decodeMessage(bytes.subarray(2 + length))
    if (type === COMMAND_REQUEST) {
      asked.push({ command: name, message })
      const found = fake.answers[name]
      if (found === undefined) return client.raw(packet(COMMAND_UNKNOWN))
      const given = await found(message, client)
      if (given !== undefined) client.raw(packet(COMMAND_RESPONSE, given))
    } else {
      asked.push({ command: `${type === EVENT_REGISTER ? '+' : '-'}${name}`, message })
      const index = registered.indexOf(name)
      const known = type === EVENT_UNREGISTER ? index >= 0 : events.has(name)
      if (type === EVENT_UNREGISTER && known) registered.splice(index, 1)
      if (type === EVENT_REGISTER && known) registered.push(name)
      client.raw(packet(known ? EVENT_CONFIRM : EVENT_UNKNOWN))
    }
  }
}

/** A packet of the daemon, with its length. */
export function packet(type: number, message: Message = {}, name?: string): Buffer {
  const head = name === undefined ? [type] : [type, name.length, ...Buffer.from(name, 'latin1')]
  const body = Buffer.concat([Buffer.from(head), encodeMessage(message)])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(body.length)
  return Buffer.concat([length, body])
}
