// What the programs here have in common: each is a server, or a client of one that listens already.

/** All that they send has this word in it, so whoever reads along finds it. */
exports.word = 'cormorant'

/**
 * @param {object} roles
 * @param {(target: string) => Promise<number>} [roles.server] resolves to its port; serves until it is ended
 * @param {(port: number) => Promise<string>} [roles.client] resolves to what it has got; then it ends by itself
 */
exports.run = async roles => {
  const [role, argument] = process.argv.slice(2)
  try {
    if (role === 'server') console.log(`listens at ${await roles.server(argument)}`)
    else console.log(`got ${await roles.client(Number(argument))}`)
  } catch (error) {
    console.log(`failed: ${(error.cause ?? error).code} ${error.message}`)
    process.exit(1)
  }
}
