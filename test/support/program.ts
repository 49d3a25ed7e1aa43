/** Foreign programs: started with a test, awaited by what they say, and ended with the test. */
import type { Test } from 'tap'
import { type Process, type Surroundings, startProcess } from './process.js'

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** Starts a program that lives no longer than the test. */
export function launch(
  t: Test,
  path: string,
  args: readonly string[],
  surroundings: Surroundings = {},
): Program {
  const program = new Program(path, args, surroundings)
  t.teardown(() => program.stop())
  return program
}

/** Runs a program to its end and gives what it said; fails with that where it ends with an error. */
export async function run(
  path: string,
  args: readonly string[],
  surroundings: Surroundings = {},
): Promise<string> {
  const program = new Program(path, args, surroundings)
  const { code } = await program.ended()
  if (code !== 0) throw new Error(`${path} ${args.join(' ')}: code ${code}\n${program.output}`)
  return program.output
}

export class Program {
  readonly #process: Process
  readonly #command: string
  readonly #listeners = new Set<() => void>()
  #output = ''
  #exit: Exit | null = null

  constructor(path: string, args: readonly string[], surroundings: Surroundings = {}) {
    this.#command = [path, ...args].join(' ')
    // A test that runs out of time has no teardown.
    const abandoned = () => this.#process.kill('SIGKILL')
    process.once('exit', abandoned)
    this.#process = startProcess(path, args, surroundings, {
      heard: text => this.#hear(text),
      closed: (code, signal) => {
        process.off('exit', abandoned)
        this.#exit = { code, signal }
        this.#hear('')
      },
    })
  }

  /** Everything that it has said until now, errors too, in order of arrival. */
  get output(): string {
    return this.#output
  }

  /** Resolves once its output matches; fails at its end and at the deadline, showing the output. */
  said(pattern: RegExp, milliseconds = 10_000): Promise<RegExpExecArray> {
    return this.#until(`say ${pattern}`, () => pattern.exec(this.#output), milliseconds)
  }

  /** Types at its standard input. */
  type(text: string | Uint8Array): void {
    this.#process.write(text)
  }

  /** Ends its standard input, and waits until it has ended by itself. */
  finish(milliseconds = 10_000): Promise<Exit> {
    this.#process.end()
    return this.ended(milliseconds)
  }

  /** Waits until it has ended by itself, and all its output is here. */
  ended(milliseconds = 10_000): Promise<Exit> {
    return this.#until('end', () => this.#exit, milliseconds)
  }

  /** Ends it, by force where it does not listen. */
  async stop(): Promise<void> {
    if (this.#exit) return
    this.#process.kill()
    const force = setTimeout(() => this.#process.kill('SIGKILL'), 2000)
    await this.ended()
    clearTimeout(force)
  }

  #hear(text: string): void {
    this.#output += text
    for (const listener of this.#listeners) listener()
  }

  #until<T>(what: string, find: () => T | null, milliseconds: number): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => fail(`within ${milliseconds} ms`), milliseconds)
      const look = () => {
        const found = find()
        if (found === null && this.#exit === null) return
        done()
        if (found === null) fail('before it ended')
        else resolve(found)
      }
      const done = () => {
        clearTimeout(timer)
        this.#listeners.delete(look)
      }
      const fail = (when: string) => {
        done()
        const heard = this.#output.slice(-1000)
        reject(new Error(`it did not ${what} ${when}\n$ ${this.#command}\n… ${heard}`))
      }
      this.#listeners.add(look)
      look()
    })
  }
}
