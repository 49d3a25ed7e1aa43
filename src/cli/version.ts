import manifest from '../../package.json' with { type: 'json' }

/** The version of this package; the build writes it in here. */
export const { version } = manifest
