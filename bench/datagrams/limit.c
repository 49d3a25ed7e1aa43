// The limit that secure-socket is measured against: DTLS 1.2 between two processes in plain C, with
// OpenSSL's memory BIOs, UDP_SEGMENT, UDP_GRO, sendmmsg and recvmmsg. No event loop to share, no
// policy, no user: nothing that a library needs but the work itself.
//
//   cc -O2 -o limit limit.c -lssl -lcrypto && ./limit 1
//
// The argument is the number of peers. The near end has one socket for all of them; the far end, a
// process of its own, has a socket for each. The first line says which OpenSSL it is; then each line
// "MODE SIZE BURST WINDOW HELD PEERS UNITS" of the input, MODE being 0 for bursts and 1 for
// ping-pong, is answered by what it took the near end, in seconds. WINDOW datagrams are on their way
// to the far end at most, and HELD to the near end, whose one socket must hold them all.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
  MAX_PEERS = 4096,
  // What the kernel takes in one message, and we in one call.
  MAX_SEGMENTS = 64,
  MAX_BYTES = 65507,
  MAX_RUNS = 64,
  ARENA = MAX_RUNS * 2048,
  // What a memory BIO may hold for the record layer to take it at once.
  INPUT_BYTES = 16384,
  MESSAGES = 16,
  // Not a multiple of a page, so that the messages' heads fall into different sets of the cache.
  STRIDE = 65536 + 192,
  PATIENCE = 5,
};

typedef struct {
  SSL *ssl;
  BIO *in;
  int fd;
  struct sockaddr_in address;
} Peer;

typedef struct {
  int mode, size, burst, window, peers, units;
} Plan;

typedef struct {
  double cpu, wall;
} Cost;

static SSL_CTX *context;
static BIO *out;
static Peer peers[MAX_PEERS];
static int peer_count;
static int server;
static int readiness;
static int acknowledgements;
/** The near end tells its peers by their ports. */
static uint16_t peer_of_port[65536];

static void die(const char *what) {
  perror(what);
  ERR_print_errors_fp(stderr);
  exit(1);
}

static int checked(int result, const char *what) {
  if (result < 0) die(what);
  return result;
}

static double now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static Cost started(void) {
  return (Cost){now(CLOCK_PROCESS_CPUTIME_ID), now(CLOCK_MONOTONIC)};
}

static Cost since(Cost start) {
  Cost end = started();
  return (Cost){end.cpu - start.cpu, end.wall - start.wall};
}

// --- Sending: a run of records to one peer is one message ---

typedef struct {
  Peer *peer;
  int segments;
  size_t segment, bytes;
} Run;

static unsigned char arena[ARENA];
static size_t arena_used;
static Run runs[MAX_RUNS];
static int run_count;

static void send_runs(void) {
  static struct mmsghdr messages[MAX_RUNS];
  static struct iovec parts[MAX_RUNS];
  static char controls[MAX_RUNS][CMSG_SPACE(sizeof(uint16_t))];
  size_t offset = 0;
  for (int i = 0; i < run_count; i++) {
    Run *run = &runs[i];
    parts[i] = (struct iovec){arena + offset, run->bytes};
    offset += run->bytes;
    struct msghdr *header = &messages[i].msg_hdr;
    *header = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    if (server) {
      header->msg_name = &run->peer->address;
      header->msg_namelen = sizeof run->peer->address;
    }
    if (run->segments > 1) {
      header->msg_control = controls[i];
      header->msg_controllen = sizeof controls[i];
      struct cmsghdr *control = CMSG_FIRSTHDR(header);
      control->cmsg_level = IPPROTO_UDP;
      control->cmsg_type = UDP_SEGMENT;
      control->cmsg_len = CMSG_LEN(sizeof(uint16_t));
      uint16_t segment = run->segment;
      memcpy(CMSG_DATA(control), &segment, sizeof segment);
    }
  }
  // One call for each socket: one at the near end.
  for (int i = 0, count; i < run_count; i += count) {
    int same = 1;
    while (i + same < run_count && runs[i + same].peer->fd == runs[i].peer->fd) same++;
    count = checked(sendmmsg(runs[i].peer->fd, messages + i, same, 0), "sendmmsg");
  }
  run_count = 0;
  arena_used = 0;
}

static void send_record(Peer *peer, const unsigned char *message, int size) {
  if (run_count == MAX_RUNS || arena_used + size + 256 > ARENA) send_runs();
  if (SSL_write(peer->ssl, message, size) != size) die("SSL_write");
  int length = checked(BIO_read(out, arena + arena_used, ARENA - arena_used), "BIO_read");
  arena_used += length;
  Run *last = &runs[run_count - 1];
  int fits = run_count > 0 && last->peer == peer && last->segment == (size_t)length &&
             last->segments < MAX_SEGMENTS && last->bytes + length <= MAX_BYTES;
  if (fits) {
    last->segments++;
    last->bytes += length;
  } else {
    runs[run_count++] = (Run){peer, 1, length, length};
  }
}

// --- Receiving: what came in one run goes to OpenSSL in one piece, as far as it may ---

static unsigned char *slots;
static unsigned char text[INPUT_BYTES];

/** Decrypts what came from a peer and gives the number of messages in it. */
static int open_records(Peer *peer, const unsigned char *bytes, int length, int segment) {
  int count = 0;
  int most = segment > INPUT_BYTES ? segment : INPUT_BYTES / segment * segment;
  for (int offset = 0; offset < length; offset += most) {
    int part = length - offset < most ? length - offset : most;
    if (BIO_write(peer->in, bytes + offset, part) != part) die("BIO_write");
    while (SSL_read(peer->ssl, text, sizeof text) > 0) count++;
  }
  return count;
}

static int read_socket(int fd, Peer *owner, Peer **last) {
  static struct mmsghdr messages[MESSAGES];
  static struct iovec parts[MESSAGES];
  static struct sockaddr_in sources[MESSAGES];
  static char controls[MESSAGES][CMSG_SPACE(sizeof(int))];
  for (int i = 0; i < MESSAGES; i++) {
    parts[i] = (struct iovec){slots + (size_t)i * STRIDE, STRIDE};
    messages[i].msg_hdr = (struct msghdr){
        .msg_name = &sources[i],
        .msg_namelen = sizeof sources[i],
        .msg_iov = &parts[i],
        .msg_iovlen = 1,
        .msg_control = controls[i],
        .msg_controllen = sizeof controls[i],
    };
  }
  int count = recvmmsg(fd, messages, MESSAGES, MSG_DONTWAIT, NULL);
  if (count < 0 && errno == EAGAIN) return 0;
  checked(count, "recvmmsg");
  int received = 0;
  for (int i = 0; i < count; i++) {
    struct msghdr *header = &messages[i].msg_hdr;
    int length = messages[i].msg_len, segment = length;
    struct cmsghdr *control = CMSG_FIRSTHDR(header);
    if (control && control->cmsg_level == IPPROTO_UDP && control->cmsg_type == UDP_GRO) {
      memcpy(&segment, CMSG_DATA(control), sizeof segment);
    }
    Peer *peer = owner ? owner : &peers[peer_of_port[ntohs(sources[i].sin_port)]];
    received += open_records(peer, slots + (size_t)i * STRIDE, length, segment);
    *last = peer;
  }
  return received;
}

/** Waits for messages, reads some of what is there, and gives their number. */
static int receive_some(Peer **last) {
  static struct epoll_event events[64];
  int ready = checked(epoll_wait(readiness, events, 64, PATIENCE * 1000), "epoll_wait");
  if (ready == 0) {
    fputs("nothing came: a datagram was lost\n", stderr);
    exit(1);
  }
  int received = 0;
  for (int i = 0; i < ready; i++) {
    int index = events[i].data.u32;
    received += read_socket(peers[index].fd, server ? NULL : &peers[index], last);
  }
  return received;
}

// --- The measurements: the same window and words of receipt as the other subjects have ---

static void send_all(Plan plan) {
  static unsigned char message[INPUT_BYTES];
  uint32_t sent = 0, seen = 0;
  int next = 0;
  while (seen < (uint32_t)plan.units) {
    if (sent < (uint32_t)plan.units && sent - seen + plan.burst <= (uint32_t)plan.window) {
      for (int i = 0; i < plan.burst; i++) {
        send_record(&peers[next], message, plan.size);
        if (++next == plan.peers) next = 0;
      }
      send_runs();
      sent += plan.burst;
    } else {
      checked(recv(acknowledgements, &seen, sizeof seen, 0), "a datagram was lost: recv");
    }
  }
}

static void receive_all(Plan plan) {
  uint32_t received = 0, told = 0, part = plan.window / 2;
  Peer *last;
  while (received < (uint32_t)plan.units) {
    received += receive_some(&last);
    if (received / part == told / part) continue;
    checked(send(acknowledgements, &received, sizeof received, 0), "send");
    told = received;
  }
}

/** Sends a message and waits for one, or the other way round. */
static void ping_pong(Plan plan, int first) {
  static unsigned char message[INPUT_BYTES];
  Peer *peer = &peers[0];
  for (int i = 0; i < plan.units; i++) {
    if (first) send_record(peer, message, plan.size), send_runs();
    for (int received = 0; received == 0;) received = receive_some(&peer);
    if (!first) send_record(peer, message, plan.size), send_runs();
  }
}

// --- Both ends, their sockets and their handshakes ---

static unsigned client_key(SSL *ssl, const char *hint, char *identity, unsigned most_identity,
                           unsigned char *key, unsigned most_key) {
  (void)ssl, (void)hint, (void)most_key;
  snprintf(identity, most_identity, "bench");
  memset(key, 7, 16);
  return 16;
}

static unsigned server_key(SSL *ssl, const char *identity, unsigned char *key, unsigned most) {
  (void)ssl, (void)identity, (void)most;
  memset(key, 7, 16);
  return 16;
}

static struct sockaddr_in loopback(int port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET,
      .sin_port = htons(port),
      .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
  };
}

static int bound_socket(void) {
  int fd = checked(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
  struct sockaddr_in address = loopback(0);
  checked(bind(fd, (struct sockaddr *)&address, sizeof address), "bind");
  int bytes = 256 * 1024;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  struct timeval patience = {PATIENCE, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return fd;
}

static int port_of(int fd) {
  struct sockaddr_in address;
  socklen_t length = sizeof address;
  checked(getsockname(fd, (struct sockaddr *)&address, &length), "getsockname");
  return ntohs(address.sin_port);
}

static void connect_to(int fd, int port) {
  struct sockaddr_in address = loopback(port);
  checked(connect(fd, (struct sockaddr *)&address, sizeof address), "connect");
}

static Peer *add_peer(int fd, struct sockaddr_in address) {
  if (peer_count == MAX_PEERS) die("too many peers");
  Peer *peer = &peers[peer_count];
  *peer = (Peer){SSL_new(context), BIO_new(BIO_s_mem()), fd, address};
  BIO_set_mem_eof_return(peer->in, -1);
  BIO_up_ref(out);
  SSL_set_bio(peer->ssl, peer->in, out);
  SSL_set_mtu(peer->ssl, 1400);
  if (server) {
    SSL_set_accept_state(peer->ssl);
    peer_of_port[ntohs(address.sin_port)] = peer_count;
  } else {
    SSL_set_connect_state(peer->ssl);
  }
  peer_count++;
  return peer;
}

/** One step of a handshake; its flights are short enough for one datagram each. Is it over? */
static int shake(Peer *peer) {
  SSL_do_handshake(peer->ssl);
  unsigned char flight[4096];
  int length = BIO_read(out, flight, sizeof flight);
  if (length > 0) {
    struct sockaddr *to = server ? (struct sockaddr *)&peer->address : NULL;
    checked(sendto(peer->fd, flight, length, 0, to, to ? sizeof peer->address : 0), "sendto");
  }
  return SSL_is_init_finished(peer->ssl);
}

static void accept_peers(int fd, int count) {
  for (int finished = 0; finished < count;) {
    unsigned char datagram[4096];
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    int bytes = checked(
        recvfrom(fd, datagram, sizeof datagram, 0, (struct sockaddr *)&from, &length), "recvfrom");
    int index = peer_of_port[ntohs(from.sin_port)];
    int known = index < peer_count && peers[index].address.sin_port == from.sin_port;
    Peer *peer = known ? &peers[index] : add_peer(fd, from);
    BIO_write(peer->in, datagram, bytes);
    finished += shake(peer);
  }
}

static void dial_peers(int port, int count) {
  for (int i = 0; i < count; i++) {
    int fd = bound_socket();
    connect_to(fd, port);
    Peer *peer = add_peer(fd, loopback(port));
    while (!shake(peer)) {
      unsigned char datagram[4096];
      int bytes = checked(recv(fd, datagram, sizeof datagram, 0), "recv");
      BIO_write(peer->in, datagram, bytes);
    }
  }
}

/** From now on each socket gives its datagrams in runs. */
static void watch(int fd, int index) {
  int on = 1;
  checked(setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on), "UDP_GRO");
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
  checked(epoll_ctl(readiness, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

static void make_context(void) {
  context = SSL_CTX_new(server ? DTLS_server_method() : DTLS_client_method());
  SSL_CTX_set_min_proto_version(context, DTLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_QUERY_MTU | SSL_OP_NO_TICKET);
  SSL_CTX_set_psk_client_callback(context, client_key);
  SSL_CTX_set_psk_server_callback(context, server_key);
  if (!SSL_CTX_set_cipher_list(context, "PSK-AES128-GCM-SHA256")) die("no such suite");
  out = BIO_new(BIO_s_mem());
  BIO_set_mem_eof_return(out, -1);
  readiness = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  slots = malloc((size_t)MESSAGES * STRIDE);
  if (!slots) die("malloc");
}

static void far_end(int port, int words, int control, int count) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  make_context();
  acknowledgements = words;
  dial_peers(port, count);
  for (int i = 0; i < count; i++) watch(peers[i].fd, i);
  char done = 1;
  checked(write(control, &done, 1), "write");
  Plan plan;
  while (read(control, &plan, sizeof plan) == sizeof plan) {
    if (plan.mode == 1) {
      ping_pong(plan, 0);
      continue;
    }
    receive_all(plan);
    checked(read(control, &plan, sizeof plan), "read");
    send_all(plan);
  }
  exit(0);
}

static void near_end(int socket, int words, int control, int count) {
  server = 1;
  make_context();
  acknowledgements = words;
  accept_peers(socket, count);
  watch(socket, 0);
  char done;
  if (read(control, &done, 1) != 1) die("the far end has ended");
  printf("%s\n", OpenSSL_version(OPENSSL_VERSION_STRING));
  fflush(stdout);

  char line[256];
  while (fgets(line, sizeof line, stdin)) {
    // In the other direction one socket holds all that is on its way.
    Plan plan;
    int held;
    if (sscanf(line, "%d %d %d %d %d %d %d", &plan.mode, &plan.size, &plan.burst, &plan.window,
               &held, &plan.peers, &plan.units) != 7) {
      die("MODE SIZE BURST WINDOW HELD PEERS UNITS");
    }
    checked(write(control, &plan, sizeof plan), "write");
    Cost start = started();
    if (plan.mode == 1) {
      ping_pong(plan, 1);
      Cost cost = since(start);
      printf("{\"cpu\":%.9f,\"wall\":%.9f}\n", cost.cpu, cost.wall);
    } else {
      send_all(plan);
      Cost sent = since(start);
      plan.window = held;
      if (plan.burst > held / 2) plan.burst = held / 2;
      start = started();
      checked(write(control, &plan, sizeof plan), "write");
      receive_all(plan);
      Cost received = since(start);
      printf("{\"send\":{\"cpu\":%.9f,\"wall\":%.9f},\"receive\":{\"cpu\":%.9f,\"wall\":%.9f}}\n",
             sent.cpu, sent.wall, received.cpu, received.wall);
    }
    fflush(stdout);
  }
}

int main(int count, char **arguments) {
  int wanted = count > 1 ? atoi(arguments[1]) : 1;
  int control[2], socket = bound_socket();
  int words[2] = {bound_socket(), bound_socket()};
  connect_to(words[0], port_of(words[1]));
  connect_to(words[1], port_of(words[0]));
  checked(socketpair(AF_UNIX, SOCK_STREAM, 0, control), "socketpair");
  if (checked(fork(), "fork") == 0) {
    int port = port_of(socket);
    close(socket);
    close(control[0]);
    close(words[0]);
    far_end(port, words[1], control[1], wanted);
  }
  close(control[1]);
  close(words[1]);
  near_end(socket, words[0], control[0], wanted);
}
