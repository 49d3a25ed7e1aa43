/** The table of rules, its second half, for streams that the kernel of a real host secures. */
process.env.RULES = 'strongswan stream/12-25'
await import('../rules/rules.test.js')
