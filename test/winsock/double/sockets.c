/* What can be told of a socket, and which have been secured. */
#include "double.h"

static struct secured *secured_sockets;

void *native(const char *name) {
  return (void *)GetProcAddress(GetModuleHandleA("ntdll.dll"), name);
}

/* What tells a socket from a later one with the same number: Wine gives the inode of the Unix socket. */
static uint64_t identity_of(SOCKET socket) {
  NTSTATUS(NTAPI * query)(HANDLE, IO_STATUS_BLOCK *, void *, ULONG, int) = native("NtQueryInformationFile");
  IO_STATUS_BLOCK status;
  LARGE_INTEGER index = {0};
  const int file_internal_information = 6;
  if (query((HANDLE)socket, &status, &index, sizeof index, file_internal_information)) return 0;
  return (uint64_t)index.QuadPart;
}

/* Whether it was made with WSA_FLAG_OVERLAPPED. */
static int is_overlapped(SOCKET socket) {
  NTSTATUS(NTAPI * query)(HANDLE, IO_STATUS_BLOCK *, void *, ULONG, int) = native("NtQueryInformationFile");
  IO_STATUS_BLOCK status;
  ULONG options = 0;
  const int file_mode_information = 16;
  const ULONG synchronous = 0x30;
  if (query((HANDLE)socket, &status, &options, sizeof options, file_mode_information)) return 1;
  return !(options & synchronous);
}

int examine(SOCKET socket, struct facts *facts) {
  WSAPROTOCOL_INFOW info;
  int length = sizeof info;
  memset(facts, 0, sizeof *facts);
  if (getsockopt(socket, SOL_SOCKET, SO_PROTOCOL_INFOW, (char *)&info, &length)) return WSAENOTSOCK;
  facts->family = info.iAddressFamily;
  facts->type = info.iSocketType;

  SOCKADDR_STORAGE address;
  length = sizeof address;
  if (!getsockname(socket, (struct sockaddr *)&address, &length)) {
    facts->port = ntohs(((SOCKADDR_IN *)&address)->sin_port);
    facts->bound = facts->port != 0;
  }
  length = sizeof address;
  facts->connected = !getpeername(socket, (struct sockaddr *)&address, &length);
  if (facts->connected) facts->peer_port = ntohs(((SOCKADDR_IN *)&address)->sin_port);
  facts->overlapped = is_overlapped(socket);
  facts->identity = identity_of(socket);
  return 0;
}

struct secured *find_secured(SOCKET socket, uint64_t identity) {
  for (struct secured *it = secured_sockets; it; it = it->next)
    if (it->socket == socket && it->identity == identity) return it;
  return NULL;
}

void remember_secured(SOCKET socket, uint64_t identity, int applied) {
  struct secured *it = calloc(1, sizeof *it);
  *it = (struct secured){secured_sockets, socket, identity, applied, 0};
  secured_sockets = it;
}

void forget_secured(SOCKET socket, uint64_t identity) {
  for (struct secured **it = &secured_sockets; *it; it = &(*it)->next) {
    struct secured *gone = *it;
    if (gone->socket != socket || gone->identity != identity) continue;
    *it = gone->next;
    free(gone);
    return;
  }
}

/* An accepted socket has its listener's security. (Windows does not say; ask it.) */
int is_secured(SOCKET socket, const struct facts *facts) {
  const struct secured *known = find_secured(socket, facts->identity);
  if (known) return known->applied && !known->wrong_name;
  if (!variant.accepted_secured) return 0;
  if (facts->type != SOCK_STREAM || !facts->connected) return 0;
  for (struct secured *it = secured_sockets; it; it = it->next) {
    int listening = 0, length = sizeof listening;
    struct facts of;
    if (!it->applied) continue;
    if (examine(it->socket, &of) || of.identity != it->identity || of.port != facts->port) continue;
    if (getsockopt(it->socket, SOL_SOCKET, SO_ACCEPTCONN, (char *)&listening, &length)) continue;
    if (!listening) continue;
    remember_secured(socket, facts->identity, 1);
    return 1;
  }
  return 0;
}

USHORT port_of(const struct sockaddr *address) {
  return ((const SOCKADDR_IN *)address)->sin_port;
}
