import type { Server } from 'node:net'

/** How many a server has. */
export function connections(server: Pick<Server, 'getConnections'>): Promise<number> {
  return new Promise(resolve => server.getConnections((_error, count) => resolve(count)))
}
