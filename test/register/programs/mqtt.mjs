// MQTT.js, and aedes as its broker.

import { once } from 'node:events'
import { createServer } from 'node:net'
import { Aedes } from 'aedes'
import mqtt from 'mqtt'
import { run, word } from './run.cjs'

run({
  async server() {
    const broker = await Aedes.createBroker()
    const server = createServer(broker.handle)
    await once(server.listen(0, '127.0.0.1'), 'listening')
    return server.address().port
  },
  async client(port) {
    const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0 })
    await once(client, 'connect')
    await client.subscribeAsync('#')
    client.publish('greeting', word)
    const [topic, message] = await once(client, 'message')
    await client.endAsync()
    return `${topic}: ${message}`
  },
})
