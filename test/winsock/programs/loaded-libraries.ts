/**
 * Loads Fwpuclnt.dll, as the library does or (with the argument `by-name`) by its bare name, and
 * prints where this process has it from.
 */
import { loadKoffi } from '../../../lib/koffi.js'
import { requireSecureSocketExtensions } from '../../../lib/winsock.js'

if (process.argv[2] === 'by-name') loadKoffi().load('fwpuclnt.dll')
else requireSecureSocketExtensions()

// Else it asks the network for the names of all addresses, which takes seconds.
Object.assign(process.report, { excludeNetwork: true })
const { sharedObjects } = process.report.getReport() as unknown as { sharedObjects: string[] }
console.log(sharedObjects.filter(path => /fwpuclnt/i.test(path)).join('\n'))
