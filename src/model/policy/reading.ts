/**
 * Reads values of JSON and collects what is wrong with them. Each reader gives undefined for what it
 * has reported, so that the rest is looked at as well.
 */
import { kindOf, show } from '../errors.js'
import { memberPath } from './json-text.js'
import type { PolicyProblem } from './problems.js'

export type Reader<T> = (value: unknown, path: string, problems: PolicyProblem[]) => T | undefined

/** A member that every object may have, and that says nothing to us. */
const COMMENT = '$comment'

/**
 * An object with these members at most. A member that could not be read is left out; what each is
 * without its member is undefined.
 */
export function object<T extends object>(
  readers: { readonly [Key in keyof T]-?: Reader<NonNullable<T[Key]>> },
): Reader<Partial<T>> {
  return (value, path, problems) => {
    if (!isObject(value)) return refuse(value, path, problems, 'give an object, {…}')
    const read: Record<string, unknown> = {}
    for (const [key, each] of Object.entries(value)) {
      const own = memberPath(path, key)
      if (key === COMMENT) {
        text(each, own, problems)
      } else if (!Object.hasOwn(readers, key)) {
        const names = Object.keys(readers)
        problems.push({ path: own, message: `is not known there: ${suggestion(key, names)}` })
      } else {
        const found = readers[key as keyof T](each, own, problems)
        if (found !== undefined) read[key] = found
      }
    }
    return read as Partial<T>
  }
}

/** An object whose members have names of any kind. */
export function record<T>(reader: Reader<T>): Reader<Record<string, T>> {
  return (value, path, problems) => {
    if (!isObject(value)) return refuse(value, path, problems, 'give an object, {…}')
    const entries = Object.entries(value).map(([key, each]) => {
      return [key, reader(each, memberPath(path, key), problems)] as const
    })
    return Object.fromEntries(entries.filter(([, each]) => each !== undefined)) as Record<string, T>
  }
}

export function list<T>(reader: Reader<T>): Reader<T[]> {
  return (value, path, problems) => {
    if (!Array.isArray(value)) return refuse(value, path, problems, 'give a list, […]')
    return value
      .map((each, index) => reader(each, `${path}[${index}]`, problems))
      .filter(each => each !== undefined)
  }
}

export function oneOf<T extends string>(...allowed: readonly T[]): Reader<T> {
  return (value, path, problems) =>
    allowed.includes(value as T)
      ? (value as T)
      : refuse(value, path, problems, `give one of ${allowed.join(', ')}`)
}

export const text: Reader<string> = (value, path, problems) =>
  typeof value === 'string' && value !== ''
    ? value
    : refuse(value, path, problems, 'give a text that is not empty')

export const onlyTrue: Reader<true> = (value, path, problems) =>
  value === true ? true : refuse(value, path, problems, 'give true, or leave it out')

/** Reports, and is undefined. The value of a place where a secret may stand is told by its kind. */
export function refuse(
  value: unknown,
  path: string,
  problems: PolicyProblem[],
  remedy: string,
  secret = false,
): undefined {
  problems.push({ path, message: `is ${secret ? kindOf(value) : show(value)}: ${remedy}` })
}

/** What may have been meant, or what there is. */
export function suggestion(name: string, names: readonly string[]): string {
  const plain = (each: string) => each.toLowerCase().replace(/[^a-z]/g, '')
  const near = names.find(each => plain(each) === plain(name) || `${plain(each)}s` === plain(name))
  return near === undefined ? `there can be ${names.join(', ')}` : `did you mean ${near}?`
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
