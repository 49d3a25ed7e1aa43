/** The elements that a message of VICI is made of (vici_message.h), and what bounds them. */

export const SECTION_START = 1
export const SECTION_END = 2
export const KEY_VALUE = 3
export const LIST_START = 4
export const LIST_ITEM = 5
export const LIST_END = 6

/** The length of a name has one byte, that of a value two. */
export const MAX_NAME = 0xff
export const MAX_VALUE = 0xffff
/** No message of the daemon is half as deep; without a limit a hostile one would exhaust the stack. */
export const MAX_DEPTH = 32
