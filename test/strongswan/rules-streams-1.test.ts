/** The table of rules, its first half, for streams that the kernel of a real host secures. */
process.env.RULES = 'strongswan stream/1-11'
await import('../rules/rules.test.js')
