/** Waiting for events, never for time: every wait has a deadline that fails. */
import type { EventEmitter } from 'node:events'
import type { Readable } from 'node:stream'

/** The arguments of the next `name`; fails on 'error' (unless that is awaited) and at the deadline. */
export function event(
  emitter: EventEmitter,
  name: string,
  milliseconds = 10_000,
): Promise<unknown[]> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      done()
      reject(new Error(`no '${name}' within ${milliseconds} ms`))
    }, milliseconds)
    const onEvent = (...args: unknown[]) => {
      done()
      resolve(args)
    }
    const onError = (error: Error) => {
      done()
      reject(error)
    }
    emitter.on(name, onEvent)
    if (name !== 'error') emitter.on('error', onError)
    function done() {
      clearTimeout(timer)
      emitter.off(name, onEvent)
      emitter.off('error', onError)
    }
  })
}

/** 'close', whatever error comes before it. */
export async function closed(socket: EventEmitter & { closed?: boolean }): Promise<void> {
  socket.on('error', () => {})
  if (socket.closed) return
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no 'close' within 10 s")), 10_000)
    socket.once('close', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}

/** The next exception that nobody catches, which would else end the process. */
export async function uncaughtException(): Promise<unknown> {
  try {
    return await new Promise(resolve => process.setUncaughtExceptionCaptureCallback(resolve))
  } finally {
    process.setUncaughtExceptionCaptureCallback(null)
  }
}

/** The error that a promise ends with. */
export async function failure(promise: Promise<unknown>): Promise<Error & { code?: string }> {
  try {
    await promise
  } catch (error) {
    return error as Error
  }
  throw new Error('it did not fail')
}

/** All that a stream gives until its end, as text. (`for await` would destroy the stream after it.) */
export async function text(stream: Readable): Promise<string> {
  const chunks: Buffer[] = []
  stream.on('data', chunk => chunks.push(Buffer.from(chunk)))
  await event(stream, 'end')
  return Buffer.concat(chunks).toString()
}
