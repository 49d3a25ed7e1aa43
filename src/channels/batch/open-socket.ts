/** The descriptor under a batch channel, made before Node knows of it. */
import * as linux from '../../../lib/linux-sockets.js'
import type { NativeDescriptor } from '../../providers/provider.js'
import { systemError } from './system-error.js'

/**
 * A socket that is bound to nothing and has no option set.
 * @throws a system error
 */
export function openBatchSocket(family: 4 | 6): NativeDescriptor {
  const domain = family === 4 ? linux.AF_INET : linux.AF_INET6
  const type = linux.SOCK_DGRAM | linux.SOCK_NONBLOCK | linux.SOCK_CLOEXEC
  const descriptor = linux.socket(domain, type, 0)
  if (descriptor < 0) throw systemError(descriptor, 'socket')
  return {
    descriptor,
    discard: () => {
      linux.close(descriptor)
    },
    // Node's handle closes it.
    adopted: () => {},
  }
}
