/** A process whose only business is a connection that stays in the state that it is told. */
import { setTimeout } from 'node:timers/promises'
import type { Remainder } from '../../../../src/providers/strongswan/host/tcp-table.js'
import { whenQuiet } from '../../../../src/providers/strongswan/streams/quiet.js'

whenQuiet({
  look: () => process.argv[2] as Remainder,
  gone: async () => {
    // As the answer of the daemon: the process must wait for it.
    await setTimeout(50)
    process.stdout.write('gone\n')
  },
})
