// What is read together must have been there together, whatever happens meanwhile.

import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { stampOf, takeSnapshot } from '../../src/policy/file-snapshot.js'
import { Folder } from './rotation.js'

t.test('contents, stamp and age', async t => {
  const folder = new Folder(t)
  folder.write('a', 'first')
  folder.write('b', 'second')
  const paths = ['a', 'b'].map(name => join(folder.path, name))
  const { contents, stamp, writtenAt } = takeSnapshot(paths)
  t.same([...contents.values()].map(String), ['first', 'second'])
  t.equal(stamp, stampOf(paths))
  t.ok(Math.abs(Date.now() - writtenAt) < 60_000)
  folder.rename('a', 'third')
  t.not(stampOf(paths), stamp)
})

t.test('a swap while it reads does not mix two versions', async t => {
  const folder = new Folder(t)
  const pair = (version: string) => ({ cert: `cert ${version}`, key: `key ${version}` })
  folder.swap(pair('1'))
  const paths = ['tls.crt', 'tls.key'].map(name => join(folder.path, name))
  // Each time that the second file is asked for there is another version, until the third.
  let swaps = 0
  const restless = Object.defineProperty([...paths], 1, {
    get() {
      if (swaps < 3) {
        swaps += 1
        folder.swap(pair(String(swaps + 1)))
      }
      return paths[1]
    },
  })
  const read = takeSnapshot(restless)
  const [cert, key] = [...read.contents.values()].map(String)
  t.equal(cert?.replace('cert', ''), key?.replace('key', ''))
})

t.test('a file that never rests is told of', async t => {
  const folder = new Folder(t)
  folder.write('a', '0')
  const path = join(folder.path, 'a')
  let length = 0
  const restless = Object.assign([path], {
    map(this: string[], ...args: Parameters<string[]['map']>) {
      length += 1
      writeFileSync(path, 'x'.repeat(length))
      return Array.prototype.map.apply(this, args)
    },
  })
  t.throws(() => takeSnapshot(restless), /written all the time/)
})

t.test('what is missing has a stamp, and cannot be read', async t => {
  const folder = new Folder(t)
  const path = join(folder.path, 'a')
  const missing = stampOf([path])
  t.throws(() => takeSnapshot([path]), /ENOENT/)
  folder.write('a', '')
  t.not(stampOf([path]), missing)
})

t.test(
  'a pipe is no file: nobody waits for its writer',
  {
    skip: process.platform === 'win32',
  },
  async t => {
    const folder = new Folder(t)
    const path = join(folder.path, 'pipe')
    t.equal(spawnSync('mkfifo', [path]).status, 0)
    t.throws(() => takeSnapshot([path]), /no file/)
  },
)
