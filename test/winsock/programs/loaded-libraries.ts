/**
 * Loads Fwpuclnt.dll, as the library does, or by its bare name (with the argument `by-name`), or in a thread
 * that has ended (`in-thread`), and prints where this process has it from.
 */
import { isMainThread, Worker } from 'node:worker_threads'
import { loadKoffi } from '../../../lib/koffi.js'
import { requireSecureSocketExtensions } from '../../../lib/winsock.js'
import { event } from '../../support/events.js'

if (isMainThread && process.argv[2] === 'in-thread')
  await event(new Worker(new URL(import.meta.url)), 'exit')
else if (process.argv[2] === 'by-name') loadKoffi().load('fwpuclnt.dll')
else requireSecureSocketExtensions()

if (isMainThread) {
  // Else it asks the network for the names of all addresses, which takes seconds.
  Object.assign(process.report, { excludeNetwork: true })
  const { sharedObjects } = process.report.getReport() as unknown as { sharedObjects: string[] }
  console.log(sharedObjects.filter(path => /fwpuclnt/i.test(path)).join('\n'))
}
