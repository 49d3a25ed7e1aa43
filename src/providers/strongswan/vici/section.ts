/**
 * The messages of VICI as objects: sections of values, lists of values, and further sections.
 */

/** A message of the daemon, or a section of one. It has no prototype, so every key is the daemon's. */
export interface Section {
  readonly [key: string]: string | readonly string[] | Section
}

/** What stands for a value in a message to the daemon: true is `yes`, false `no`. */
export type Scalar = string | number | boolean | Buffer

/**
 * A message to the daemon, or a section of one. What is undefined is left out. Text is printable
 * ASCII, since the daemon ignores other text silently; anything else, as a key, is a Buffer.
 */
export interface Message {
  readonly [key: string]: Scalar | readonly Scalar[] | Message | undefined
}

/** The value of a key; undefined where there is none, or something else than a value. */
export function textOf(section: Section | undefined, key: string): string | undefined {
  const value = section?.[key]
  return typeof value === 'string' ? value : undefined
}

/** The list of a key; empty where there is none, or something else than a list. */
export function listOf(section: Section | undefined, key: string): readonly string[] {
  const value = section?.[key]
  return isList(value) ? value : []
}

/** The section of a key; undefined where there is none, or something else than a section. */
export function sectionOf(section: Section | undefined, key: string): Section | undefined {
  const value = section?.[key]
  return isSection(value) ? value : undefined
}

/** The sections in a section, with their names. */
export function sectionsOf(section: Section | undefined): [name: string, section: Section][] {
  return Object.entries(section ?? {}).filter((entry): entry is [string, Section] =>
    isSection(entry[1]),
  )
}

type Value = Section[string] | undefined

function isList(value: Value): value is readonly string[] {
  return Array.isArray(value)
}

function isSection(value: Value): value is Section {
  return typeof value === 'object' && !isList(value)
}
