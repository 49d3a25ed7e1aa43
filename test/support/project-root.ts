/** Where the project lies, also where the tests run from a copy of it in JavaScript. */
import { realpathSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

// Whatever else is copied, this is a link.
const manifest = fileURLToPath(new URL('../../package.json', import.meta.url))

/** Without a separator at its end. */
export const root = dirname(realpathSync(manifest))
