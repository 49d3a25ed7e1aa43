// npm start: shows the library at work. Needs nothing but Node and npm on a fresh clone.

import { spawnSync } from 'node:child_process'
import { ensureInstalled } from './ensure-installed.mjs'
import { npm } from './npm.mjs'

ensureInstalled()
if (!npm(['run', '--silent', 'build'])) process.exit(1)

const demo = spawnSync(process.execPath, ['examples/demo/demo.mjs', ...process.argv.slice(2)], {
  stdio: 'inherit',
})
process.exit(demo.status ?? 1)
