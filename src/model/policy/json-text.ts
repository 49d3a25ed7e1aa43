/**
 * Where a text is not JSON, and which keys stand in it twice: JSON.parse says the first only sometimes,
 * shows the text itself, and of two keys takes the last in silence. The values are JSON.parse's.
 */

export interface JsonFindings {
  /** The place of the first character that cannot stand there; absent where it is JSON. */
  readonly errorAt?: number
  /** The paths of keys that were there already. */
  readonly repeated: readonly string[]
}

/** Deeper than any policy is. */
const MAX_DEPTH = 20

export function inspectJson(text: string): JsonFindings {
  const repeated: string[] = []
  let at = 0

  const skip = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const found = pattern.exec(text)?.[0]
    at += found?.length ?? 0
    return found
  }
  const expect = (pattern: RegExp): string => {
    const found = skip(pattern)
    if (found === undefined) throw at
    skip(space)
    return found
  }

  const value = (path: string, depth: number): void => {
    if (depth > MAX_DEPTH) throw at
    if (text[at] === '{') object(path, depth)
    else if (text[at] === '[') array(path, depth)
    else expect(scalar)
  }
  const object = (path: string, depth: number): void => {
    const keys = new Set<string>()
    expect(/\{/y)
    if (text[at] !== '}') {
      do {
        const key = JSON.parse(expect(string)) as string
        const own = memberPath(path, key)
        if (keys.has(key)) repeated.push(own)
        keys.add(key)
        expect(/:/y)
        value(own, depth + 1)
      } while (isAnother())
    }
    expect(/\}/y)
  }
  const array = (path: string, depth: number): void => {
    let index = 0
    expect(/\[/y)
    if (text[at] !== ']') {
      do value(`${path}[${index++}]`, depth + 1)
      while (isAnother())
    }
    expect(/\]/y)
  }
  const isAnother = () => text[at] === ',' && expect(/,/y) !== undefined

  try {
    skip(space)
    value('$', 0)
    if (at < text.length) throw at
    return { repeated }
  } catch (error) {
    if (typeof error !== 'number') throw error
    return { errorAt: error, repeated }
  }
}

/** The path of a member, in the notation of JSONPath (RFC 9535). */
export function memberPath(path: string, key: string): string {
  return /^[$\w]+$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`
}

/** Line and column of a place, from 1. */
export function lineAndColumn(text: string, at: number): { line: number; column: number } {
  const before = text.slice(0, at).split('\n')
  return { line: before.length, column: (before.at(-1) as string).length + 1 }
}

const space = /[ \t\r\n]*/y
// biome-ignore lint/suspicious/noControlCharactersInRegex: what a string of JSON may not contain
const string = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y
const scalar = new RegExp(
  `${string.source}|-?(?:0|[1-9]\\d*)(?:\\.\\d+)?(?:[eE][+-]?\\d+)?|true|false|null`,
  'y',
)
