import { defineCommand, EXIT_FAILED, EXIT_OK } from './command.js'
import { connectDatagrams } from './netcat/connect-datagrams.js'
import { connectStream } from './netcat/connect-stream.js'
import { eventsTo, failedEvent } from './netcat/events.js'
import { netcatHelp, netcatOptions, parseNetcatOptions } from './netcat/options.js'

const name = 'connect'

const help = `secure-socket connect: a secured connection for stdin and stdout

What comes on stdin is sent, what the peer sends is written to stdout; nothing is sent before the
peer has proved who it is. It ends when both ends have ended: after the end of stdin the peer can
still answer. With --udp, which has no end, 5 seconds after the last datagram, or when the peer ends
the session.

The end of a stream is not proved: who can cut the connection can make the data end early, with exit
code 0. What is spoken on top must tell its length.

Usage:
  secure-socket connect [options] HOST PORT

Whom the peer must prove to be:
  --peer-target-name NAME       a host name, host/db.example.com, an address, a URI such as
                                spiffe://example.com/db, or a pin, sha256/… (default: HOST)

${netcatHelp}  --timeout SECONDS             give up where the peer is not secured in that time
  --idle SECONDS                end when nothing came or went for so long: of a stream that is a
                                failure, of datagrams the end (default: never; with --udp 5, after
                                the end of stdin)

What is told on stderr:
  -v, --verbose                 what secures the connection and who the peer is; always where stderr
                                is a terminal
  --json                        the same as JSON, an object a line: event ("secured", "note" or
                                "failed") and, when secured: peer, secured, encrypted, protocol,
                                version, cipher, alpn, resumed, expires, identity (targetName,
                                names, pin or pskIdentity); when failed: code, message
  -h, --help

Exit codes: 0 both ends have ended, 1 failed, 2 the command line was wrong

An example, with a server on the same computer:
  echo hello | secure-socket connect --ca authority.crt localhost 5000
`

/** `secure-socket connect` */
export const connect = defineCommand({
  name,
  help,
  options: netcatOptions,
  operands: ['HOST', 'PORT'],
  async run(values, [host = '', port = ''], terminal) {
    const options = parseNetcatOptions(name, values, port, 'client')
    const events = eventsTo(terminal, values)
    const converse = options.udp ? connectDatagrams : connectStream
    try {
      await converse(host, options, terminal, events)
      return EXIT_OK
    } catch (error) {
      if (!values.json) throw error
      terminal.stderr.write(failedEvent(error as Error))
      return EXIT_FAILED
    } finally {
      terminal.stdin.destroy()
    }
  },
})
