// ioredis. The server is Redis itself, behind hop.mjs.

import { Redis } from 'ioredis'
import { run, word } from './run.cjs'

run({
  async client(port) {
    const redis = new Redis(port, '127.0.0.1', { retryStrategy: null })
    redis.on('error', () => {}) // the command fails too
    await redis.set('bird', word)
    const bird = await redis.get('bird')
    await redis.quit()
    return bird
  },
})
