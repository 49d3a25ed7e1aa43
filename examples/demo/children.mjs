// The processes of the demo: each does what it is told, and tells what it has seen.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** Starts a file of this directory as a process of its own. */
export function start(file) {
  return fork(fileURLToPath(new URL(file, import.meta.url)))
}

/** The next message of a child process. */
export async function reply(child) {
  const abort = new AbortController()
  const { signal } = abort
  const exited = once(child, 'exit', { signal }).then(([code]) => {
    throw new Error(`process ${child.pid} ended with ${code}`)
  })
  try {
    const [message] = await Promise.race([once(child, 'message', { signal }), exited])
    return message
  } finally {
    exited.catch(() => {})
    abort.abort()
  }
}
