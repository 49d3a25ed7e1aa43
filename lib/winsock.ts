/** The address of native memory; 0 is NULL. */
export type Pointer = number
