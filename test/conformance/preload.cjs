'use strict'

// Loaded into each test's process before the test: whatever the test asks of `net`, `http` or `dgram`
// is then secured, with credentials as an administrator's policy would give them.
//
// Modules inside Node keep their own `net`, on which tls, child_process and the rest stand. The test
// gets ours instead, and http is led to it where it makes a connection and where it gets one.
// Pipes, unix sockets and descriptors stay clear: only TCP can be secured.

const { readFileSync } = require('node:fs')
const dgram = require('node:dgram')
const Module = require('node:module')
const net = require('node:net')
const { pathToFileURL } = require('node:url')

const { CONFORMANCE_POLICY, CONFORMANCE_DIST, CONFORMANCE_DGRAM } = process.env
const dropIn = { ...require(`${CONFORMANCE_DIST}/net.cjs`) }
// Tests of net and http have servers of names of their own making, which Node's resolver asks in clear.
const dgramDropIn =
  CONFORMANCE_DGRAM === 'clear' ? dgram : { ...require(`${CONFORMANCE_DIST}/dgram.cjs`) }
const { SecureDgramSocket, SecureServer, SecureSocket } = require(`${CONFORMANCE_DIST}/index.cjs`)
const policy = JSON.parse(readFileSync(CONFORMANCE_POLICY, 'utf8'))

const secured = new WeakSet()

leaveDescriptors()
secureClients()
secureServers()
secureDatagrams()
replaceModules()

/** A socket over what is open already is node's own, as is what connects to a path. */
function leaveDescriptors() {
  const Socket = new Proxy(SecureSocket, {
    construct: (target, args, newTarget) =>
      newTarget === Socket && (isDescriptor(args) || typeof args[0] === 'number')
        ? new net.Socket(...args)
        : Reflect.construct(target, args, newTarget),
    get: (target, key, receiver) =>
      key === Symbol.hasInstance ? isInstance : Reflect.get(target, key, receiver),
  })
  // The sockets that stay clear are of this class too, as far as a test can see.
  function isInstance(value) {
    return this === Socket ? value instanceof net.Socket : ordinary.call(this, value)
  }
  const ordinary = Function.prototype[Symbol.hasInstance]
  const { createConnection } = dropIn
  const connect = (...args) =>
    (isPath(args) || isDescriptor(args) ? net.createConnection : createConnection)(...args)
  Object.assign(dropIn, { Socket, Stream: Socket, connect, createConnection: connect })
}

/** Gives each client its trust and the name of its peer; a path goes to node's own connect. */
function secureClients() {
  const { connect } = SecureSocket.prototype
  SecureSocket.prototype.connect = function (...args) {
    if (isPath(args)) return clear(this, net.Socket).connect(...args)
    if (!secured.has(this)) {
      secured.add(this)
      this.setSecurity(policy.client)
      this.setPeerTargetName(policy.peerTargetName)
    }
    return connect.apply(this, args)
  }
}

/** Gives each server its identity; a path, or what listens already, goes to node's own listen. */
function secureServers() {
  const { listen } = SecureServer.prototype
  SecureServer.prototype.listen = function (...args) {
    if (isPath(args) || isDescriptor(args)) return clear(this, net.Server).listen(...args)
    secure(this)
    return listen.apply(this, args)
  }
}

/** Gives each datagram socket its identity and its trust, before it is used; a descriptor stays clear. */
function secureDatagrams() {
  const { prototype } = SecureDgramSocket
  for (const name of ['bind', 'bindSync', 'connect', 'connectSync', 'send']) {
    const method = prototype[name]
    if (!method) continue
    prototype[name] = function (...args) {
      if (isDescriptor(args)) return clear(this, dgram.Socket)[name](...args)
      if (!secured.has(this)) {
        secured.add(this)
        this.setSecurity(policy.datagrams)
      }
      return method.apply(this, args)
    }
  }
}

function secure(server) {
  if (secured.has(server)) return
  secured.add(server)
  SecureServer.prototype.setSecurity.call(server, policy.server)
}

/** Makes http use ours: its agents to connect, its servers to accept. */
function secureHttp(http) {
  const { emit, listen } = net.Server.prototype
  http.Agent.prototype.createConnection = (...args) => dropIn.createConnection(...args)
  http.Server.prototype.listen = function (...args) {
    if (!isPath(args) && !isDescriptor(args)) secure(this)
    return listen.apply(this, args)
  }
  http.Server.prototype.emit = function (event, ...args) {
    const raw = event === 'connection' && isClear(args[0])
    return (raw ? SecureServer.prototype.emit : emit).call(this, event, ...args)
  }
}

/** `require('net')` gives the test the drop-in, and `require('http')` what was led to it. */
function replaceModules() {
  const load = Module._load
  let http
  Module._load = function (request, parent, ...rest) {
    const name = request.replace(/^node:/, '')
    if (!parent?.filename?.startsWith(CONFORMANCE_DIST)) {
      if (name === 'net') return dropIn
      if (name === 'dgram') return dgramDropIn
    }
    const loaded = load.call(this, request, parent, ...rest)
    // Only once it is asked for: there are tests of what is loaded when.
    if (!http && /^(https?|_http_\w+)$/.test(name)) {
      http = load.call(this, 'http', parent, ...rest)
      secureHttp(http)
    }
    return loaded
  }

  if (!process.argv[1]?.endsWith('.mjs')) return
  secureHttp(require('node:http'))
  const replaced = dgramDropIn === dgram ? ['net'] : ['net', 'dgram']
  const faces = Object.fromEntries(
    replaced.map(name => [name, pathToFileURL(`${CONFORMANCE_DIST}/${name}.js`).href]),
  )
  const resolve = (specifier, context, next) => {
    const url = faces[specifier.replace(/^node:/, '')]
    return url === undefined ? next(specifier, context) : { url, shortCircuit: true }
  }
  if (Module.registerHooks) Module.registerHooks({ resolve })
  else {
    // Older versions run them in a thread of their own, which gets them as text.
    const hooks = `const faces = ${JSON.stringify(faces)}\nexport const resolve = ${resolve}`
    Module.register(`data:text/javascript,${encodeURIComponent(hooks)}`)
  }
}

/** Makes a socket or server an ordinary one of node's. */
const clear = (object, { prototype }) => Object.setPrototypeOf(object, prototype)

/** A connection that the kernel accepted and nothing has secured. */
const isClear = socket =>
  socket instanceof net.Socket &&
  !(socket instanceof SecureSocket) &&
  socket._handle?.constructor.name === 'TCP'

/** Do the arguments of connect or listen name a pipe or a unix socket? */
function isPath(args) {
  const [first] = Array.isArray(args[0]) ? args[0] : args
  if (typeof first === 'object' && first !== null) return Boolean(first.path)
  return typeof first === 'string' && !(Number(first) >= 0)
}

/** Do the options of listen or of a socket name something that is open already? */
function isDescriptor(args) {
  const [first] = Array.isArray(args[0]) ? args[0] : args
  return (
    typeof first === 'object' && Boolean(first?._handle || first?.handle || 'fd' in Object(first))
  )
}
