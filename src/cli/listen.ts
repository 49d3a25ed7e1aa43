import { defineCommand, EXIT_FAILED, EXIT_OK } from './command.js'
import { eventsTo, failedEvent } from './netcat/events.js'
import { listenDatagrams } from './netcat/listen-datagrams.js'
import { listenStream } from './netcat/listen-stream.js'
import { netcatHelp, netcatOptions, parseNetcatOptions } from './netcat/options.js'

const name = 'listen'

const help = `secure-socket listen: waits for a secured connection, for stdin and stdout

What the peer sends is written to stdout, what comes on stdin is sent to it. It takes one connection
and ends with it, when both ends have ended. With --udp it takes the first peer that speaks, and
ends when that ends its session. Who cannot prove to be somebody whom we trust is refused, and it
goes on waiting.

The end of a stream is not proved: who can cut the connection can make the data end early, with exit
code 0. What is spoken on top must tell its length.

Usage:
  secure-socket listen [options] PORT

PORT 0 takes a free port; --json tells which.

Where, and how long:
  --host ADDRESS                the address to listen on (default: all of this computer)
  --keep                        take more than one. Streams: one after the other, the next waits.
                                Datagrams: those of all peers are written; what is read goes to the
                                first that spoke and is still there

Who may come:
  --request-cert                clients must have a certificate that we trust; so they must, too,
                                with --ca, --peer-target-name or --udp
  --peer-target-name NAME       only who proves to be this: a host name, an address, a URI such as
                                spiffe://example.com/client, or a pin, sha256/…

${netcatHelp}  --timeout SECONDS             give up where nobody came in that time
  --idle SECONDS                end a connection when nothing came or went for so long: of a stream
                                that is a failure, of datagrams the end (default: never)

What is told on stderr:
  -v, --verbose                 where it listens, who came and who was refused; always where stderr
                                is a terminal
  --json                        the same as JSON, an object a line: event ("listening", "secured",
                                "refused", "note" or "failed") and, when listening: address, port;
                                when secured: as "secure-socket connect --help" says; when refused
                                or failed: code, message, and peer where it is known
  -h, --help

Exit codes: 0 both ends have ended, 1 failed, 2 the command line was wrong

An example:
  secure-socket listen --cert localhost.crt --key localhost.key 5000
`

/** `secure-socket listen` */
export const listen = defineCommand({
  name,
  help,
  options: {
    ...netcatOptions,
    host: { type: 'string' },
    keep: { type: 'boolean', short: 'k', default: false },
    'request-cert': { type: 'boolean', default: false },
  },
  operands: ['PORT'],
  async run(values, [port = ''], terminal) {
    const options = parseNetcatOptions(name, values, port, 'server')
    const events = eventsTo(terminal, values)
    const serve = options.udp ? listenDatagrams : listenStream
    try {
      await serve(values.host, { ...options, keep: values.keep }, terminal, events)
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
