/** The timer of a handshake: it gives nobody up for time in which this process did not listen. */
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import t from 'tap'
import { lastPatience, patience } from '../../../src/providers/tls/patience.js'

const blocked = new Int32Array(new SharedArrayBuffer(4))

/** As a process that is stopped: nothing runs. */
const sleep = (milliseconds: number) => Atomics.wait(blocked, 0, 0, milliseconds)

t.test('it rings after its time, with nothing else to do', async t => {
  // It keeps the process alive, and is no event within the time.
  const tooLate = setTimeout(() => {}, 9000)
  const begun = performance.now()
  await new Promise<void>(resolve => patience(50, resolve))
  const after = performance.now() - begun
  clearTimeout(tooLate)
  t.ok(after >= 49 && after < 8000, `${after} ms`)
})

t.test('what waits in the kernel is seen first, and answers have time', async t => {
  const echo = net.createServer(socket => socket.pipe(socket)).listen(0, '127.0.0.1')
  await once(echo, 'listening')
  const socket = net.connect((echo.address() as AddressInfo).port, '127.0.0.1')
  await once(socket, 'connect')
  t.teardown(() => {
    socket.destroy()
    echo.close()
  })
  const seen: string[] = []
  socket.once('data', () => seen.push('data'))
  const rung = new Promise<void>(resolve => {
    patience(50, () => {
      seen.push('over')
      resolve()
    })
  })
  socket.write('x')
  sleep(300)
  const woken = performance.now()
  await rung
  t.same(seen, ['data', 'over'])
  t.ok(performance.now() - woken >= 49, 'as long again, since it was late by more')
})

t.test('what it gives back prevents it, also while it waits for the rest', async t => {
  let count = 0
  const stop = [patience(20, () => count++), patience(20, () => count++)]
  stop[0]?.()
  sleep(60)
  // Behind the timers, which have rung.
  await new Promise(resolve => setTimeout(resolve, 1))
  stop[1]?.()
  await new Promise(resolve => setTimeout(resolve, 100))
  t.equal(count, 0)
})

t.test('one that has rung early looks at once, and Node warns of no negative time', async t => {
  const warnings: Error[] = []
  const listener = (warning: Error) => warnings.push(warning)
  process.on('warning', listener)
  t.teardown(() => process.off('warning', listener))
  // Its timer does not keep the process alive.
  const tooLate = setTimeout(() => t.fail('it does not ring'), 9000)
  await new Promise<void>(resolve => lastPatience(-0.5, 50, resolve))
  clearTimeout(tooLate)
  await new Promise(resolve => setImmediate(resolve))
  t.same(warnings, [])
})
