// Measures subjects in turns, A B C A B C …, so that whatever else the machine does meanwhile falls
// on all of them. Each has processes of its own: no subject's garbage, compiled code or inline
// caches are another's.

import { fork } from 'node:child_process'
import { once } from 'node:events'

/**
 * @param {{ key: string, module: URL, task: object, lasting: boolean }[]} subjects a lasting subject
 *   keeps its process for all rounds, the first of which warms it up and is not counted; any other
 *   gets a new process for each round
 * @param {number} rounds how many are counted
 * @param {(round: number) => void} onRound
 * @returns {Promise<Record<string, object[]>>} the measurements of each subject, one a round
 */
export async function alternate(subjects, rounds, onRound) {
  const processes = makeProcesses()
  try {
    const { samples } = await processes.alternate(subjects, rounds, onRound)
    return samples
  } finally {
    await processes.stop()
  }
}

/**
 * For several benches whose subjects keep their processes from one to the next. `alternate` is as
 * above; a lasting subject is known by its key. One that is `foreign` may fail: then it has no
 * measurements, but is named with the reason in `failed`.
 */
export function makeProcesses() {
  const lasting = new Map()
  const started = []

  return {
    async alternate(subjects, rounds, onRound) {
      const samples = Object.fromEntries(subjects.map(({ key }) => [key, []]))
      const failed = []
      for (const subject of subjects.filter(each => each.lasting)) {
        if (!lasting.has(subject.key)) lasting.set(subject.key, start(subject, started))
        await tried(subject, async () => ask(lasting.get(subject.key), subject))
      }
      for (let round = 1; round <= rounds; round++) {
        onRound(round)
        for (const subject of subjects) {
          if (subject.key in samples) await tried(subject, () => measure(subject))
        }
      }
      return { samples, failed }

      async function measure(subject) {
        const child = lasting.get(subject.key) ?? start(subject, started)
        samples[subject.key].push(await ask(child, subject))
        if (!subject.lasting) await stop(child)
      }

      async function tried(subject, act) {
        try {
          await act()
        } catch ({ message }) {
          if (!subject.foreign) throw new Error(`${subject.key}: ${message}`)
          failed.push({ key: subject.key, why: message })
          delete samples[subject.key]
          lasting.delete(subject.key)
        }
      }
    },

    async stop() {
      for (const child of started) await stop(child)
    },
  }
}

function start({ module }, started) {
  const child = fork(module, {
    execArgv: ['--expose-gc'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  started.push(child)
  return child
}

/** Asks for one measurement. */
function ask(child, { task }) {
  return new Promise((resolve, reject) => {
    child.once('message', onMessage)
    child.once('exit', onExit)
    child.send(task)

    function onMessage(sample) {
      child.off('exit', onExit)
      resolve(sample)
    }

    function onExit(code, signal) {
      child.off('message', onMessage)
      const how = signal ?? `exit code ${code}`
      reject(new Error(`a process ended before it had measured: ${how}`))
    }
  })
}

async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill()
  await exit
}
