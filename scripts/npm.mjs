import { spawnSync } from 'node:child_process'

/**
 * Runs npm in the project with this process's node; its output goes to ours.
 * @param {string[]} args
 * @returns {boolean} whether it succeeded
 */
export function npm(args) {
  // Inside `npm run`, npm names its own script. Outside, npm.cmd on Windows needs a shell.
  const script = process.env.npm_execpath
  const { status, error } = script
    ? spawnSync(process.execPath, [script, ...args], { stdio: 'inherit' })
    : spawnSync('npm', args, { stdio: 'inherit', shell: process.platform === 'win32' })
  if (error) throw error
  return status === 0
}
