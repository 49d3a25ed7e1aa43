/** The types of listening, for the events that our classes add to those of node:net. */
export interface TypedEvents<Events extends Record<keyof Events, unknown[]>> {
  on<K extends keyof Events>(event: K, listener: (...args: Events[K]) => void): this
  once<K extends keyof Events>(event: K, listener: (...args: Events[K]) => void): this
  off<K extends keyof Events>(event: K, listener: (...args: Events[K]) => void): this
  addListener<K extends keyof Events>(event: K, listener: (...args: Events[K]) => void): this
  removeListener<K extends keyof Events>(event: K, listener: (...args: Events[K]) => void): this
  prependListener<K extends keyof Events>(event: K, listener: (...args: Events[K]) => void): this
  prependOnceListener<K extends keyof Events>(
    event: K,
    listener: (...args: Events[K]) => void,
  ): this
}
