/**
 * What node:diagnostics_channel is told of something that is still under way here. A subscriber is the
 * application's code, and may close or begin anew what it hears of: so he hears of it in a tick of his own.
 */
import type { Channel } from 'node:diagnostics_channel'

export function publishLater(channel: Channel, message: object): void {
  process.nextTick(() => channel.publish(message))
}
