/** Foreign programs: started with a test, awaited by what they say, and ended with the test. */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Test } from 'tap'

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** Starts a program that lives no longer than the test. */
export function launch(
  t: Test,
  path: string,
  args: readonly string[],
  options: { cwd?: string } = {},
): Program {
  const program = new Program(path, args, options.cwd)
  t.teardown(() => program.stop())
  return program
}

export class Program {
  readonly #child: ChildProcess
  readonly #command: string
  readonly #listeners = new Set<() => void>()
  #output = ''
  #exit: Exit | null = null

  constructor(path: string, args: readonly string[], cwd?: string) {
    this.#command = [path, ...args].join(' ')
    // What the machine's administrator has set for OpenSSL must not decide what a test meets.
    const env = { ...process.env, OPENSSL_CONF: '/dev/null', LC_ALL: 'C' }
    this.#child = spawn(path, args, { cwd, env, stdio: 'pipe' })
    this.#child.stdout?.setEncoding('utf8').on('data', text => this.#hear(text))
    this.#child.stderr?.setEncoding('utf8').on('data', text => this.#hear(text))
    // A program that has gone does not read what the test still types.
    this.#child.stdin?.on('error', () => {})
    this.#child.on('error', error => this.#hear(`\n${error.message}`))
    // A test that runs out of time has no teardown.
    const abandoned = () => this.#child.kill('SIGKILL')
    process.once('exit', abandoned)
    this.#child.on('close', (code, signal) => {
      process.off('exit', abandoned)
      this.#exit = { code, signal }
      this.#hear('')
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
    this.#child.stdin?.write(text)
  }

  /** Ends its standard input, and waits until it has ended by itself. */
  finish(milliseconds = 10_000): Promise<Exit> {
    this.#child.stdin?.end()
    return this.ended(milliseconds)
  }

  /** Waits until it has ended by itself, and all its output is here. */
  ended(milliseconds = 10_000): Promise<Exit> {
    return this.#until('end', () => this.#exit, milliseconds)
  }

  /** Ends it, by force where it does not listen. */
  async stop(): Promise<void> {
    if (this.#exit) return
    this.#child.kill()
    const force = setTimeout(() => this.#child.kill('SIGKILL'), 2000)
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
