import { setTimeout as pause } from 'node:timers/promises'

/** Memory after garbage collection; several, since finalizers free what only the next one sees. */
export async function settled() {
  for (let i = 0; i < 6; i++) {
    global.gc()
    await pause(30)
  }
  global.gc()
  return process.memoryUsage()
}
