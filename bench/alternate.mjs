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
    return await processes.alternate(subjects, rounds, onRound)
  } finally {
    await processes.stop()
  }
}

/**
 * For several benches whose subjects keep their processes from one to the next. `alternate` is as
 * above; a lasting subject is known by its key.
 */
export function makeProcesses() {
  const lasting = new Map()
  const started = []

  return {
    async alternate(subjects, rounds, onRound) {
      const samples = Object.fromEntries(subjects.map(({ key }) => [key, []]))
      for (const subject of subjects.filter(each => each.lasting)) {
        const child = lasting.get(subject.key) ?? start(subject, started)
        lasting.set(subject.key, child)
        await ask(child, subject)
      }
      for (let round = 1; round <= rounds; round++) {
        onRound(round)
        for (const subject of subjects) {
          const child = lasting.get(subject.key) ?? start(subject, started)
          samples[subject.key].push(await ask(child, subject))
          if (!subject.lasting) await stop(child)
        }
      }
      return samples
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
