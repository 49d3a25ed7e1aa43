// MQTT over secured sockets, with MQTT.js as the client and aedes as the broker: MQTT.js asks a function
// for its streams, and aedes takes what a server has accepted. `secureStream` is for use; what follows it
// shows it. A broker with TLS of its own, such as mosquitto, will do as well.
//
// const client = new MqttClient(secureStream({ host, port, peerTargetName, security }), options)

import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Aedes } from 'aedes'
import { MqttClient } from 'mqtt'
import { createAuthority, createIdentity, currentPeer } from 'secure-socket'
import { createConnection, createServer } from 'secure-socket/net'

/** For the first argument of MqttClient: each call is another attempt to connect. */
export function secureStream({ host, port, peerTargetName, security }) {
  return () => createConnection({ host, port, peerTargetName, security })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const authority = await createAuthority()
  const [home, sensor, mallory] = await Promise.all([
    createIdentity({ authority, names: ['host/broker.example.com'] }),
    createIdentity({ authority, names: ['spiffe://example.com/sensor-17'] }),
    createIdentity({ names: ['spiffe://example.com/sensor-17'] }), // signed by nobody
  ])

  // The broker: a client publishes only below its own name, whatever it calls itself.
  const broker = await Aedes.createBroker({
    authorizePublish({ conn }, { topic }, answer) {
      const { names } = conn.impersonatePeer(currentPeer)
      const own = names.some(name => topic.startsWith(`${new URL(name).pathname.slice(1)}/`))
      answer(own ? null : new Error(`${names} may not publish ${topic}`))
    },
  })
  broker.on('clientError', (_client, { message }) => console.log(message))
  const server = createServer({ security: { ...home, requestCert: true } }, broker.handle)
  await once(server.listen(0, '127.0.0.1'), 'listening')

  const where = { host: '127.0.0.1', port: server.address().port }
  const connect = (security, peerTargetName) =>
    new MqttClient(secureStream({ ...where, security, peerTargetName }), { reconnectPeriod: 0 })

  const client = connect(sensor, 'host/broker.example.com')
  await client.subscribeAsync('#')
  client.publish('sensor-17/temperature', '21.5')
  const [topic, message] = await once(client, 'message')
  console.log(`${topic}: ${message}`)
  client.publish('sensor-18/temperature', '99')
  await once(client, 'close')

  console.log(await refused(connect(sensor, 'host/bank.example.com')))
  console.log(await refused(connect({ ...mallory, ca: authority.cert }, 'host/broker.example.com')))

  broker.close()
  server.close()

  async function refused(client) {
    const [{ code }] = await once(client, 'error')
    await client.endAsync()
    return code
  }
}
