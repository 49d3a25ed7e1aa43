/** The table of rules, its second half, for datagrams that the kernel of a real host secures. */
process.env.RULES = 'strongswan datagram/12-25'
await import('../rules/rules.test.js')
