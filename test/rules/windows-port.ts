/** What another program on Windows can do to a port that is in use. */

/** Can somebody who asks to share it (SO_REUSEADDR) have a port of loopback? */
export async function takesPort(_kind: 'stream' | 'datagram', _port: number): Promise<boolean> {
  throw new Error('not yet')
}
