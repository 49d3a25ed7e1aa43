import { requireSecureSocketExtensions } from '../../../lib/winsock.js'
import { type Finding, reason } from './finding.js'

/** IPsec on Windows: are the functions of the Winsock Secure Socket Extensions there? */
export function examineWinsock(): Finding {
  const common = { name: 'winsock', title: 'IPsec of Windows' } as const
  if (process.platform !== 'win32')
    return { ...common, status: 'elsewhere', summary: 'for Windows' }
  try {
    requireSecureSocketExtensions()
    return {
      ...common,
      status: 'works',
      summary: 'Fwpuclnt.dll has all functions; an IPsec policy of Windows decides what they do',
    }
  } catch (error) {
    return { ...common, status: 'missing', summary: reason(error) }
  }
}
