/** Prints what the doctor finds of this host's strongSwan. */
import { examineStrongswan } from '../../src/cli/doctor/strongswan.js'

console.log(JSON.stringify(await examineStrongswan({ path: process.argv[2] as string })))
