/** Says why there is no batch channel, or that there is; `exhausted`: first with no descriptor left. */
import { closeSync, openSync } from 'node:fs'
import { loadKoffi } from '../../../lib/koffi.js'
import { batchUnavailable } from '../../../src/channels/batch/availability.js'

if (process.argv[2] === 'exhausted') {
  loadKoffi()
  const taken: number[] = []
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'))
  } catch {
    console.log(batchUnavailable() ?? 'available')
  }
  for (const descriptor of taken) closeSync(descriptor)
}
console.log(batchUnavailable() ?? 'available')
