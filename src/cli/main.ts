#!/usr/bin/env node
import { secureSocket } from './secure-socket.js'

// The reader of a pipe may stop early (`| head`): no reason for a stack trace.
process.stdout.on('error', error => {
  if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
})

void secureSocket(process.argv.slice(2), process).then(code => {
  process.exitCode = code
})
