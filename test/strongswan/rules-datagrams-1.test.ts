/** The table of rules, its first half, for datagrams that the kernel of a real host secures. */
process.env.RULES = 'strongswan datagram/1-11'
await import('../rules/rules.test.js')
