/** What stands below the figures, as Markdown. */
export const meaning = `## What the figures mean, and what they do not

Each end is a process of its own, and a figure is the CPU time of one of them: user's and kernel's,
with garbage collection. It says how much of a processor a datagram costs the one that sends it or
the one that receives it. Every figure is a median of rounds in which the subjects took turns. A ratio
is taken within each round; shown are the median of these ratios and, for what was to be reached,
between which two the middle half of them lies. Where that range is wider than a difference, the
difference is not shown to be real. "2.00 times cheaper" is half the CPU time. All intervals and
middle halves are in datagrams.json.

**What loopback flatters.** There is no card and no wire. The kernel delivers a datagram within the
call that sends it, so the sender pays for a part of what a receiver would pay elsewhere. A run of
datagrams that left in one call (UDP_SEGMENT) arrives as one, unsegmented (UDP_GRO), whatever its
length; a network card segments it, a switch mixes it with others, and the receiver's card or kernel
puts together only what it finds side by side. So the batch channel gains less on a real network, above
all where it receives. What is saved in system calls and in JavaScript stays saved. The sender's and the
receiver's process also share the machine's caches.

**Bursts**: so many datagrams are sent to one peer in one turn of the event loop; at most 256 are on
their way (128 of the largest), and after each half of that the receiver says so on a plain socket,
which adds less than 0.2 µs to each datagram, in all subjects alike. Sent without callbacks. In bursts of one,
each datagram also pays for a turn of the loop. The cipher is AES-128-GCM for all. A target is reached
only if the connected secure-socket is as much cheaper than the connected node:dgram, in both directions.

**Many peers**: one socket, and so many sockets at the other end, each of which is sent one datagram in
each turn of the loop, one after the other; then they send to the one socket. There are no runs to one
peer here: what is left is one system call for many datagrams. "A connected socket for each" is plain
node:dgram at its best with the same peers: as many sockets as peers; "connected" is one socket that
talks to one peer, which is another task, and shown because its figure is the least that a datagram of
node:dgram costs. A thousand peers are a thousand of the kernel's sockets at the other end and, where
there is DTLS, a thousand of OpenSSL's states: more than a processor's caches hold, for the C program, too.

**Ping-pong**: one message, its answer, the next: the near end's CPU time for both, and how long it took.

**Flood**: 32 datagrams in every turn of the loop, as fast as it goes, whatever becomes of them. A timer
of 2 ms in both processes tells how late it comes: the median and the worst. Who sends faster loses more.

**The limit** is bench/datagrams/limit.c: DTLS in plain C with the system's OpenSSL, memory BIOs,
UDP_SEGMENT, UDP_GRO, sendmmsg and recvmmsg, the same windows and words of receipt. It has no event loop
to share, checks nobody's name, tells nobody who has sent what, and overwrites what it has read: no
program would want just that.

**The packages**: node-dtls-client is a client that knows pre-shared keys only, so its far end is
secure-socket, and its cost in a handshake is to be seen at the client alone. werift-dtls makes a server
for each peer, on a port of its own, and leaves the check of the certificate to its user; it gets a
leaner transport here than the one it brings. Neither has one socket for many peers.

**Handshakes**: a connection is a handshake, a byte there, a byte back and the end, eight at a time, each
from a new client socket. The figure is for each second of the server process's CPU time, and holds
all of that: cookie, handshake, the message, its answer, close_notify. Certificates are ECDSA P-256,
the leaf signed by the authority itself; longer chains and RSA cost more. Resumption is by ticket,
and what was resumed was checked. The target is for a server that shows a certificate and asks for
none; where both show one, as is the default for datagrams, the server checks a certificate and a
signature more. V8 needs a thousand handshakes until it has compiled what they run through: a server
that has just started makes about two thirds of the figure. Such a rate depends on the processor and on
what shares its caches, so node:tls takes its turns beside it: TLS 1.2 over TCP with the same
certificates, suite and bytes, one context for all, resumed by hand. It is Node's own C++, has no cookie
to check, and TCP does for it what a datagram socket does itself.

**Memory**: RSS of the server process for each idle peer that has sent a message and got an answer, after
garbage collection, from the growth after the first hundred; for node-dtls-client that of the client.
It holds OpenSSL's memory, V8's and what the allocator keeps for later. "Per GiB" is how many such peers
a GiB holds. With OpenSSL 3.5, from Node 22 on, an association needs more than with 3.0.`
