/** Reads what the policy leaves to the application. */
import { settingNames } from '../settings.js'
import { list, type Reader, refuse, suggestion } from './reading.js'

/** All that an application can set of a socket's security. */
export const applicationSettings: readonly string[] = [
  ...new Set([...settingNames('stream'), ...settingNames('datagram'), 'peerTargetName']),
]

const setting: Reader<string> = (value, path, problems) =>
  applicationSettings.includes(value as string)
    ? (value as string)
    : refuse(value, path, problems, suggestion(text(value), applicationSettings))

/** An object of JSON can have a toString of its own, which is no function. */
function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

const settings = list(setting)

export const mayBeSet: Reader<true | ReadonlySet<string>> = (value, path, problems) => {
  if (value === true) return true
  if (!Array.isArray(value))
    return refuse(value, path, problems, 'give a list of settings, or true for all of them')
  const names = settings(value, path, problems)
  return names && new Set(names)
}
