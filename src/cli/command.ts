import type { Readable, Writable } from 'node:stream'
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'

/** Where a command reads and writes: `process`, or what a test gives it. */
export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stdout: Writable
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean }
}

/** What the user typed in place of `secure-socket …`, understood and run. */
export interface Command {
  /** @returns the exit code */
  run(args: string[], terminal: Terminal): Promise<number>
}

export const EXIT_OK = 0
export const EXIT_FAILED = 1
export const EXIT_USAGE = 2

/** The command line was wrong; `command` is the one whose help explains it. */
export class UsageError extends Error {
  readonly command: string

  constructor(command: string, message: string, cause?: unknown) {
    super(message, { cause })
    this.command = command
  }
}

/** Runs a check of what the user typed: what it throws is a UsageError. */
export function checkUsage<T>(command: string, check: () => T): T {
  try {
    return check()
  } catch (cause) {
    throw new UsageError(command, (cause as Error).message, cause)
  }
}

/** A command that does something. Its help is written by hand: a text can explain, a table cannot. */
export function defineCommand<O extends ParseArgsOptionsConfig>(definition: {
  name: string
  help: string
  options: O
  /** The names of the arguments without dashes; those in brackets, at the end, may be left out. */
  operands?: readonly string[]
  /** Any number of arguments may follow. */
  more?: boolean
  run(values: Values<O>, operands: string[], terminal: Terminal): Promise<number>
}): Command {
  const { name, help, operands = [] } = definition
  const options = { ...definition.options, help: { type: 'boolean', short: 'h' } } as const
  return {
    async run(args, terminal) {
      const { values, positionals } = checkUsage(name, () =>
        parseArgs({ args, options, allowPositionals: true }),
      )
      if ('help' in values && values.help) {
        terminal.stdout.write(help)
        return EXIT_OK
      }
      const extra = positionals[operands.length]
      if (extra !== undefined && !definition.more)
        throw new UsageError(name, `"${extra}" is one argument too many`)
      const missing = operands[positionals.length]
      if (missing !== undefined && !missing.startsWith('['))
        throw new UsageError(name, `${missing} is missing`)
      return definition.run(values as Values<O>, positionals, terminal)
    },
  }
}

type Values<O extends ParseArgsOptionsConfig> = ReturnType<
  typeof parseArgs<{ options: O }>
>['values']

/** A command that only chooses among others. They are loaded when they are asked for. */
export function defineGroup(definition: {
  name: string
  help: string
  commands: Record<string, () => Promise<Command>>
}): Command {
  const { name, help, commands } = definition
  return {
    async run([chosen, ...args], terminal) {
      if (chosen === undefined) {
        terminal.stderr.write(help)
        return EXIT_USAGE
      }
      if (chosen === '--help' || chosen === '-h') {
        terminal.stdout.write(help)
        return EXIT_OK
      }
      const load = Object.hasOwn(commands, chosen) ? commands[chosen] : undefined
      if (load === undefined) {
        const choices = Object.keys(commands).join(', ')
        throw new UsageError(name, `there is no "${chosen}" here; choose among: ${choices}`)
      }
      return (await load()).run(args, terminal)
    },
  }
}
