/** How long a daemon that has gone is waited for, and how often its policies are looked for. */

/** Milliseconds until a daemon that does not come back is given up. */
export const PATIENCE = 15_000
/** Milliseconds between two looks at the canary while all is well. */
export const CALM = 500
/** The same while the daemon seems to end. */
export const ALARMED = 4
/** How long an alarm lasts. */
export const ALARM = 3_000
/** Milliseconds between two attempts to reach the daemon. */
export const RETRY = 250
