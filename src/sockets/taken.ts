/** The mark of sockets of somebody else's that belong to the methods of ours, whatever their class is. */
const mark = Symbol('secure-socket.taken')

export function isTaken(socket: object): boolean {
  return (socket as { [mark]?: boolean })[mark] === true
}

export function markTaken(socket: object): void {
  Object.defineProperty(socket, mark, { value: true, configurable: true })
}

export function unmarkTaken(socket: object): void {
  Reflect.deleteProperty(socket, mark)
}
