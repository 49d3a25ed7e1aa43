/** Expected bytes, written field by field: hexadecimal, with what each is behind it. */
export function bytes(...fields: (string | readonly [hex: string, what: string])[]): Buffer {
  const hex = fields.map(field => (typeof field === 'string' ? field : field[0])).join('')
  return Buffer.from(hex.replaceAll(' ', ''), 'hex')
}

/** So many bytes of zero. */
export function zeros(count: number): string {
  return '00'.repeat(count)
}

/** A buffer whose every byte is to be overwritten: what is left of it would be seen. */
export function dirty(length: number): Buffer {
  return Buffer.alloc(length, 0xee)
}
