// The client of the second act, a process of its own: one socket and several peers. The code is the
// same for `node:dgram` and `secure-socket/dgram`, but for the names, which the first does not know.

process.on('message', async ({ face, security, peers, questions }) => {
  const { createSocket } = await import(face)
  const socket = createSocket({ type: 'udp4', security })
  for (const peer of peers) await socket.setPeerTargetName?.(peer)

  // All at once first; then whoever has answered is asked again.
  const first = await Promise.all(peers.map(peer => ask(socket, peer, questions[0])))
  const outcomes = await Promise.all(
    first.map(async (outcome, index) => {
      if (outcome.error) return outcome
      const second = await ask(socket, peers[index], questions[1])
      const { version, cipher } = (await socket.querySecurity?.(peers[index])) ?? {}
      return { ...second, answers: [...outcome.answers, ...second.answers], version, cipher }
    }),
  )
  socket.close(() => process.send({ outcomes }))
})

function ask(socket, { address, port }, question) {
  return new Promise(resolve => {
    const onMessage = (message, rinfo) => {
      if (rinfo.port === port) settle({ answers: [String(message)], targetName: rinfo.targetName })
    }
    const settle = outcome => {
      socket.off('message', onMessage)
      resolve(outcome)
    }
    socket.on('message', onMessage)
    socket.send(question, port, address, error => {
      if (error) settle({ answers: [], error: { code: error.code, message: error.message } })
    })
  })
}

process.on('disconnect', () => process.exit())
