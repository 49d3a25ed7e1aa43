/*
 * A stand-in for the six secure socket functions of Windows' Fwpuclnt.dll. It secures nothing: it checks
 * what it is given as the documentation says the system does, logs every call as a line of JSON, and
 * completes calls as the test wishes. winsock-double.ts in test/support holds the other end.
 *
 * It is only as strict as the documentation. Where that names no error for what it forbids, the comment
 * at the place says which one was chosen.
 */
#define WIN32_LEAN_AND_MEAN
/* The functions are made here, not imported. */
#define WINSOCK_API_LINKAGE
#define _WIN32_WINNT 0x0A00
#define NTDDI_VERSION 0x0A000000
#include <winsock2.h>
#include <ws2tcpip.h>
#include <mstcpip.h>
#include <windows.h>
#include <mswsock.h>
#include <winternl.h>

#include <assert.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

/* ---- What the headers say, and what the provider's encoders and decoders are written against. ---- */

#ifndef SOCKET_SETTINGS_IPSEC_OPTIONAL_PEER_NAME_VERIFICATION
#define SOCKET_SETTINGS_IPSEC_OPTIONAL_PEER_NAME_VERIFICATION 0x2
#define SOCKET_SETTINGS_IPSEC_ALLOW_FIRST_INBOUND_PKT_UNENCRYPTED 0x4
#define SOCKET_SETTINGS_IPSEC_PEER_NAME_IS_RAW_FORMAT 0x8
#endif
#define SOCKET_QUERY_IPSEC2_ABORT_CONNECTION_ON_FIELD_CHANGE 0x1
#define SOCKET_QUERY_IPSEC2_FIELD_MASK_MM_SA_ID 0x1
#define SOCKET_QUERY_IPSEC2_FIELD_MASK_QM_SA_ID 0x2

typedef struct {
  SOCKET_SECURITY_PROTOCOL SecurityProtocol;
  SOCKADDR_STORAGE PeerAddress;
  ULONG PeerTokenAccessMask;
  ULONG Flags;
  ULONG FieldMask;
} SOCKET_SECURITY_QUERY_TEMPLATE_IPSEC2;

typedef struct {
  SOCKET_SECURITY_PROTOCOL SecurityProtocol;
  ULONG Flags;
  UINT64 PeerApplicationAccessTokenHandle;
  UINT64 PeerMachineAccessTokenHandle;
  UINT64 MmSaId;
  UINT64 QmSaId;
  UINT32 NegotiationWinerr;
  GUID SaLookupContext;
} SOCKET_SECURITY_QUERY_INFO_IPSEC2;

#define AT(type, member, offset) static_assert(offsetof(type, member) == (offset), #type "." #member)
#define SIZE(type, size) static_assert(sizeof(type) == (size), #type)

SIZE(SOCKET_SECURITY_SETTINGS, 8);
AT(SOCKET_SECURITY_SETTINGS, SecurityProtocol, 0);
AT(SOCKET_SECURITY_SETTINGS, SecurityFlags, 4);

SIZE(SOCKET_SECURITY_SETTINGS_IPSEC, 88);
AT(SOCKET_SECURITY_SETTINGS_IPSEC, SecurityProtocol, 0);
AT(SOCKET_SECURITY_SETTINGS_IPSEC, SecurityFlags, 4);
AT(SOCKET_SECURITY_SETTINGS_IPSEC, IpsecFlags, 8);
AT(SOCKET_SECURITY_SETTINGS_IPSEC, AuthipMMPolicyKey, 12);
AT(SOCKET_SECURITY_SETTINGS_IPSEC, AuthipQMPolicyKey, 28);
AT(SOCKET_SECURITY_SETTINGS_IPSEC, Reserved, 44);
AT(SOCKET_SECURITY_SETTINGS_IPSEC, Reserved2, 64);
AT(SOCKET_SECURITY_SETTINGS_IPSEC, UserNameStringLen, 72);
AT(SOCKET_SECURITY_SETTINGS_IPSEC, DomainNameStringLen, 76);
AT(SOCKET_SECURITY_SETTINGS_IPSEC, PasswordStringLen, 80);
AT(SOCKET_SECURITY_SETTINGS_IPSEC, AllStrings, 84);

SIZE(SOCKET_PEER_TARGET_NAME, 144);
AT(SOCKET_PEER_TARGET_NAME, SecurityProtocol, 0);
AT(SOCKET_PEER_TARGET_NAME, PeerAddress, 8);
AT(SOCKET_PEER_TARGET_NAME, PeerTargetNameStringLen, 136);
AT(SOCKET_PEER_TARGET_NAME, AllStrings, 140);

SIZE(SOCKET_SECURITY_QUERY_TEMPLATE, 144);
AT(SOCKET_SECURITY_QUERY_TEMPLATE, SecurityProtocol, 0);
AT(SOCKET_SECURITY_QUERY_TEMPLATE, PeerAddress, 8);
AT(SOCKET_SECURITY_QUERY_TEMPLATE, PeerTokenAccessMask, 136);
SIZE(SOCKET_SECURITY_QUERY_TEMPLATE_IPSEC2, 152);
AT(SOCKET_SECURITY_QUERY_TEMPLATE_IPSEC2, PeerTokenAccessMask, 136);
AT(SOCKET_SECURITY_QUERY_TEMPLATE_IPSEC2, Flags, 140);
AT(SOCKET_SECURITY_QUERY_TEMPLATE_IPSEC2, FieldMask, 144);

SIZE(SOCKET_SECURITY_QUERY_INFO, 24);
AT(SOCKET_SECURITY_QUERY_INFO, SecurityProtocol, 0);
AT(SOCKET_SECURITY_QUERY_INFO, Flags, 4);
AT(SOCKET_SECURITY_QUERY_INFO, PeerApplicationAccessTokenHandle, 8);
AT(SOCKET_SECURITY_QUERY_INFO, PeerMachineAccessTokenHandle, 16);
SIZE(SOCKET_SECURITY_QUERY_INFO_IPSEC2, 64);
AT(SOCKET_SECURITY_QUERY_INFO_IPSEC2, MmSaId, 24);
AT(SOCKET_SECURITY_QUERY_INFO_IPSEC2, QmSaId, 32);
AT(SOCKET_SECURITY_QUERY_INFO_IPSEC2, NegotiationWinerr, 40);
AT(SOCKET_SECURITY_QUERY_INFO_IPSEC2, SaLookupContext, 44);

SIZE(WSAOVERLAPPED, 32);
AT(WSAOVERLAPPED, Internal, 0);
AT(WSAOVERLAPPED, InternalHigh, 8);
AT(WSAOVERLAPPED, Offset, 16);
AT(WSAOVERLAPPED, OffsetHigh, 20);
AT(WSAOVERLAPPED, hEvent, 24);
SIZE(SOCKADDR_IN, 16);
SIZE(SOCKADDR_IN6, 28);
SIZE(SOCKADDR_STORAGE, 128);

#define IS(name, value) static_assert((name) == (value), #name)
IS(SOCKET_SECURITY_PROTOCOL_DEFAULT, 0);
IS(SOCKET_SECURITY_PROTOCOL_IPSEC, 1);
IS(SOCKET_SECURITY_PROTOCOL_IPSEC2, 2);
IS(SOCKET_SECURITY_PROTOCOL_INVALID, 3);
IS(SOCKET_SETTINGS_GUARANTEE_ENCRYPTION, 1);
IS(SOCKET_SETTINGS_ALLOW_INSECURE, 2);
IS(SOCKET_SETTINGS_IPSEC_SKIP_FILTER_INSTANTIATION, 1);
IS(SOCKET_SETTINGS_IPSEC_OPTIONAL_PEER_NAME_VERIFICATION, 2);
IS(SOCKET_SETTINGS_IPSEC_ALLOW_FIRST_INBOUND_PKT_UNENCRYPTED, 4);
IS(SOCKET_SETTINGS_IPSEC_PEER_NAME_IS_RAW_FORMAT, 8);
IS(SOCKET_INFO_CONNECTION_SECURED, 1);
IS(SOCKET_INFO_CONNECTION_ENCRYPTED, 2);
IS(SOCKET_INFO_CONNECTION_IMPERSONATED, 4);
IS(WSAEFAULT, 10014);
IS(WSAEINVAL, 10022);
IS(WSAENOTSOCK, 10038);
IS(WSAEMSGSIZE, 10040);
IS(WSAEAFNOSUPPORT, 10047);
IS(WSAECONNRESET, 10054);
IS(WSAEISCONN, 10056);
IS(WSASYSCALLFAILURE, 10107);
IS(WSA_IO_PENDING, 997);
/* The ioctls behind the functions; mstcpip.h of mingw lacks them, so they are made as Windows makes them. */
IS(_WSAIOW(IOC_VENDOR, 200), 0x980000C8);
IS(_WSAIORW(IOC_VENDOR, 201), 0xD80000C9);
IS(_WSAIOW(IOC_VENDOR, 202), 0x980000CA);
IS(_WSAIOW(IOC_VENDOR, 203), 0x980000CB);

#define EXPORT __declspec(dllexport)

/* ---- State. One lock for all of it: calls come from any thread, completions from others. ---- */

enum function { SET, QUERY, NAME, DELETE_NAME, IMPERSONATE, REVERT, FUNCTIONS };
static const char *const names[FUNCTIONS] = {
    "WSASetSocketSecurity",         "WSAQuerySocketSecurity",  "WSASetSocketPeerTargetName",
    "WSADeleteSocketPeerTargetName", "WSAImpersonateSocketPeer", "WSARevertImpersonation"};

enum mode { BY_DOCUMENT, SUCCEED, FAIL, PEND, PEND_FAIL, NEVER, STUCK, BLOCK, PRETEND, MODES };
static const char *const modes[MODES] = {"default", "succeed", "fail",  "pend",
                                         "pendFail", "never",  "stuck", "block", "pretend"};

struct behaviour {
  enum mode mode;
  int delay; /* ms */
  int error;
  int times; /* how many calls more; negative: all */
};

/* A socket that security was applied to, or one that a listening such socket accepted. */
struct secured {
  struct secured *next;
  SOCKET socket;
  uint64_t identity;
  int inherited;
  int wrong_name;
};

struct operation {
  struct operation *next;
  enum function function;
  SOCKET socket;
  uint64_t identity;
  WSAOVERLAPPED *overlapped;
  LPWSAOVERLAPPED_COMPLETION_ROUTINE routine;
  HANDLE thread;
  HANDLE alarm; /* set: complete at once as cancelled */
  HANDLE event;
  int low_bit;
  struct behaviour behaviour;
  int cancelled;
  /* The caller's buffers, which it must keep until the end. */
  const unsigned char *input;
  unsigned char *copy;
  ULONG length;
  SOCKET_SECURITY_QUERY_INFO *info;
  ULONG *info_length;
};

struct token {
  struct token *next;
  HANDLE handle;
  LUID identity;
};

static CRITICAL_SECTION lock;
static struct behaviour behaviours[FUNCTIONS];
static struct secured *secured_sockets;
static struct operation *operations;
static struct token *tokens;
static char *log_text, *taken_text;
static size_t log_used, log_size;
static int watching;
static HANDLE log_file = INVALID_HANDLE_VALUE;
static struct {
  ULONG flags;
  UINT64 mm_sa_id, qm_sa_id;
  UINT32 negotiation_winerr;
  int user_token, machine_token;
  int probe_error;
} answers;

/* What is answered about the peers of one port in the place of `answers`: its flags, or an error. */
struct peer {
  struct peer *next;
  USHORT port;
  ULONG flags;
  int error;
};
static struct peer *peers;

/* What Windows may do in more than one way; the environment of the process chooses. */
static struct {
  enum { NAME_BYTES, NAME_CHARACTERS, NAME_BY_PROTOCOL } name_length; /* WINSOCK_DOUBLE_NAME=bytes|characters|ipsec2 */
  int ipsec, ipsec2;                                                  /* WINSOCK_DOUBLE_SETTINGS=ipsec|ipsec2|both */
  int accepted_secured;                                               /* WINSOCK_DOUBLE_ACCEPTED=secured|clear */
  int impersonate;                                                    /* WINSOCK_DOUBLE_IMPERSONATE=ok|ERROR */
  WCHAR wrong_name[128];                                              /* WINSOCK_DOUBLE_WRONG_NAME=TEXT:ERROR, 0: not secured */
  int wrong_name_error;
  int revert_fails; /* WINSOCK_DOUBLE_REVERT=fails: RevertToSelf() too */
  int probe_error; /* WINSOCK_DOUBLE_PROBE=fault|msgsize */
} variant = {NAME_BYTES, 1, 0, 1, WSAEOPNOTSUPP, L"", 0, 0, WSAEMSGSIZE};

static void reset(void) {
  for (int i = 0; i < FUNCTIONS; i++) behaviours[i] = (struct behaviour){BY_DOCUMENT, 0, 0, -1};
  memset(&answers, 0, sizeof answers);
  answers.flags = SOCKET_INFO_CONNECTION_SECURED | SOCKET_INFO_CONNECTION_ENCRYPTED;
  answers.mm_sa_id = 1;
  answers.qm_sa_id = 2;
  answers.user_token = answers.machine_token = 1;
  answers.probe_error = variant.probe_error;
  while (peers) {
    struct peer *gone = peers;
    peers = gone->next;
    free(gone);
  }
}

/* ---- The log. ---- */

struct line {
  char *text;
  size_t used, size;
};

static void add(struct line *line, const char *format, ...) {
  for (;;) {
    va_list list;
    va_start(list, format);
    size_t room = line->size - line->used;
    int length = vsnprintf(line->text ? line->text + line->used : NULL, room, format, list);
    va_end(list);
    if ((size_t)length < room) {
      line->used += (size_t)length;
      return;
    }
    line->size = line->size * 2 + (size_t)length + 256;
    line->text = realloc(line->text, line->size);
  }
}

static void add_hex(struct line *line, const unsigned char *bytes, ULONG length) {
  add(line, ",\"bytes\":\"");
  for (ULONG i = 0; i < length; i++) add(line, "%02x", bytes[i]);
  add(line, "\"");
}

/* With the lock held, so that lines are in the order in which things happened. */
static void write_line(struct line *line) {
  add(line, "}\n");
  if (log_size - log_used < line->used + 1) {
    log_size = log_size * 2 + line->used + 4096;
    log_text = realloc(log_text, log_size);
  }
  memcpy(log_text + log_used, line->text, line->used + 1);
  log_used += line->used;
  if (log_file != INVALID_HANDLE_VALUE) {
    DWORD written;
    WriteFile(log_file, line->text, (DWORD)line->used, &written, NULL);
  }
  free(line->text);
}

/* ---- Sockets. ---- */

struct facts {
  int family, type, protocol;
  int bound, connected, overlapped;
  USHORT port, peer_port;
  uint64_t identity;
};

/* What tells a socket from a later one with the same number: Wine gives the inode of the Unix socket. */
static uint64_t identity_of(SOCKET socket) {
  static NTSTATUS(NTAPI * query)(HANDLE, IO_STATUS_BLOCK *, void *, ULONG, int);
  if (!query) query = (void *)GetProcAddress(GetModuleHandleA("ntdll.dll"), "NtQueryInformationFile");
  IO_STATUS_BLOCK status;
  LARGE_INTEGER index = {0};
  const int FileInternalInformation_ = 6;
  if (query((HANDLE)socket, &status, &index, sizeof index, FileInternalInformation_)) return 0;
  return (uint64_t)index.QuadPart;
}

/* Whether it was made with WSA_FLAG_OVERLAPPED. */
static int is_overlapped(SOCKET socket) {
  static NTSTATUS(NTAPI * query)(HANDLE, IO_STATUS_BLOCK *, void *, ULONG, int);
  if (!query) query = (void *)GetProcAddress(GetModuleHandleA("ntdll.dll"), "NtQueryInformationFile");
  IO_STATUS_BLOCK status;
  ULONG options = 0;
  const int FileModeInformation_ = 16;
  const ULONG FILE_SYNCHRONOUS = 0x30;
  if (query((HANDLE)socket, &status, &options, sizeof options, FileModeInformation_)) return 1;
  return !(options & FILE_SYNCHRONOUS);
}

/* 0, or the error of what is no socket. */
static int examine(SOCKET socket, struct facts *facts) {
  WSAPROTOCOL_INFOW info;
  int length = sizeof info;
  memset(facts, 0, sizeof *facts);
  if (getsockopt(socket, SOL_SOCKET, SO_PROTOCOL_INFOW, (char *)&info, &length)) return WSAENOTSOCK;
  facts->family = info.iAddressFamily;
  facts->type = info.iSocketType;
  facts->protocol = info.iProtocol;

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

static int family_and_type(const struct facts *facts) {
  if (facts->family != AF_INET && facts->family != AF_INET6) return WSAEAFNOSUPPORT;
  if (facts->type != SOCK_STREAM && facts->type != SOCK_DGRAM) return WSAEINVAL;
  return 0;
}

static struct secured *find_secured(SOCKET socket, uint64_t identity) {
  for (struct secured *it = secured_sockets; it; it = it->next)
    if (it->socket == socket && it->identity == identity) return it;
  return NULL;
}

static void remember_secured(SOCKET socket, uint64_t identity, int inherited) {
  struct secured *it = calloc(1, sizeof *it);
  *it = (struct secured){secured_sockets, socket, identity, inherited, 0};
  secured_sockets = it;
}

static void forget_secured(SOCKET socket, uint64_t identity) {
  for (struct secured **it = &secured_sockets; *it; it = &(*it)->next) {
    struct secured *gone = *it;
    if (gone->socket != socket || gone->identity != identity) continue;
    *it = gone->next;
    free(gone);
    return;
  }
}

/* An accepted socket has its listener's security. (Windows does not say; ask it.) */
static int is_secured(SOCKET socket, const struct facts *facts) {
  const struct secured *known = find_secured(socket, facts->identity);
  if (known) return !known->wrong_name;
  if (!variant.accepted_secured) return 0;
  if (facts->type != SOCK_STREAM || !facts->connected) return 0;
  for (struct secured *it = secured_sockets; it; it = it->next) {
    int listening = 0, length = sizeof listening;
    struct facts of;
    if (examine(it->socket, &of) || of.identity != it->identity || of.port != facts->port) continue;
    if (getsockopt(it->socket, SOL_SOCKET, SO_ACCEPTCONN, (char *)&listening, &length)) continue;
    if (!listening) continue;
    remember_secured(socket, facts->identity, 1);
    return 1;
  }
  return 0;
}

static int address_is_zero(const struct sockaddr *address) {
  static const IN6_ADDR none;
  return address->sa_family == AF_INET
             ? ((const SOCKADDR_IN *)address)->sin_addr.s_addr == 0
             : memcmp(&((const SOCKADDR_IN6 *)address)->sin6_addr, &none, sizeof none) == 0;
}

static USHORT port_of(const struct sockaddr *address) {
  return ((const SOCKADDR_IN *)address)->sin_port;
}

/* A peer's address for a datagram socket. */
static int check_peer(const struct facts *facts, const struct sockaddr *peer, int with_port) {
  if (peer->sa_family != AF_INET && peer->sa_family != AF_INET6) return WSAEAFNOSUPPORT;
  if (peer->sa_family != facts->family) return WSAEAFNOSUPPORT;
  if (address_is_zero(peer)) return WSAEINVAL;
  if (with_port && port_of(peer) == 0) return WSAEINVAL;
  return 0;
}

/* ---- What each function demands, in the order: no socket, family and type, values, connected, bound, once. ---- */

static int check_settings(const SOCKET_SECURITY_SETTINGS *settings, ULONG length) {
  if (!settings) return 0;
  if (length < sizeof *settings) return WSAEMSGSIZE;
  const ULONG flags = SOCKET_SETTINGS_GUARANTEE_ENCRYPTION | SOCKET_SETTINGS_ALLOW_INSECURE;
  if (settings->SecurityFlags & ~flags) return WSAEINVAL;
  if (settings->SecurityProtocol == SOCKET_SECURITY_PROTOCOL_DEFAULT) {
    /* SOCKET_SECURITY_SETTINGS_IPSEC must have SOCKET_SECURITY_PROTOCOL_IPSEC, not _DEFAULT. */
    return length == sizeof *settings ? 0 : WSAEINVAL;
  }
  if (settings->SecurityProtocol >= SOCKET_SECURITY_PROTOCOL_INVALID) return WSAEINVAL;
  /* Documented is IPSEC alone. */
  const int ipsec2 = settings->SecurityProtocol == SOCKET_SECURITY_PROTOCOL_IPSEC2;
  if (!(ipsec2 ? variant.ipsec2 : variant.ipsec)) return WSAEINVAL;

  const SOCKET_SECURITY_SETTINGS_IPSEC *ipsec = (const void *)settings;
  static const GUID none;
  if (length < sizeof *ipsec) return WSAEMSGSIZE;
  if (ipsec->IpsecFlags & ~0xFu) return WSAEINVAL;
  if (memcmp(&ipsec->Reserved, &none, sizeof none) || ipsec->Reserved2) return WSAEINVAL;
  const ULONG strings[] = {ipsec->UserNameStringLen, ipsec->DomainNameStringLen, ipsec->PasswordStringLen};
  uint64_t needed = offsetof(SOCKET_SECURITY_SETTINGS_IPSEC, AllStrings);
  for (int i = 0; i < 3; i++) {
    /* Counted in bytes, so a UTF-16 string has an even number. */
    if (strings[i] % sizeof(WCHAR)) return WSAEINVAL;
    needed += strings[i];
  }
  return needed > length ? WSAEMSGSIZE : 0;
}

static int check_set(SOCKET socket, const struct facts *facts, const void *settings, ULONG length) {
  int error = family_and_type(facts);
  if (!error) error = check_settings(settings, length);
  if (error) return error;
  if (facts->connected) return WSAEISCONN;
  if (facts->bound) return WSAEINVAL;
  if (find_secured(socket, facts->identity)) return WSAEINVAL;
  remember_secured(socket, facts->identity, 0);
  BOOL exclusive = TRUE;
  /* Fails where SO_REUSEADDR is set. */
  if (setsockopt(socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (char *)&exclusive, sizeof exclusive))
    return WSAGetLastError();
  return 0;
}

static int contains(const WCHAR *text, uint64_t length, const WCHAR *part) {
  const size_t wanted = wcslen(part);
  for (uint64_t i = 0; i + wanted <= length; i++)
    if (!memcmp(text + i, part, wanted * sizeof(WCHAR))) return 1;
  return 0;
}

static int check_name(SOCKET socket, const struct facts *facts, const SOCKET_PEER_TARGET_NAME *name, ULONG length) {
  int error = family_and_type(facts);
  if (error) return error;
  if (!name) return WSAEFAULT;
  if (length < sizeof *name) return WSAEMSGSIZE;
  if (name->SecurityProtocol >= SOCKET_SECURITY_PROTOCOL_INVALID) return WSAEINVAL;
  /* Documented are bytes. */
  const int in_bytes = variant.name_length == NAME_BYTES ||
                       (variant.name_length == NAME_BY_PROTOCOL &&
                        name->SecurityProtocol == SOCKET_SECURITY_PROTOCOL_IPSEC2);
  const uint64_t bytes = (uint64_t)name->PeerTargetNameStringLen * (in_bytes ? 1 : sizeof(WCHAR));
  if (bytes == 0 || bytes % sizeof(WCHAR)) return WSAEINVAL;
  if (offsetof(SOCKET_PEER_TARGET_NAME, AllStrings) + bytes > length) return WSAEMSGSIZE;
  struct secured *secured = find_secured(socket, facts->identity);
  if (*variant.wrong_name && contains(name->AllStrings, bytes / sizeof(WCHAR), variant.wrong_name)) {
    if (variant.wrong_name_error) return variant.wrong_name_error;
    /* Windows finds it in the negotiation, so only the query can tell here. */
    if (secured) secured->wrong_name = 1;
  }
  if (facts->type == SOCK_DGRAM) {
    error = check_peer(facts, (const struct sockaddr *)&name->PeerAddress, 0);
    if (error) return error;
  }
  return facts->connected ? WSAEISCONN : 0;
}

static int check_delete(const struct facts *facts, const struct sockaddr *peer, ULONG length) {
  int error = family_and_type(facts);
  if (error) return error;
  if (!peer) return WSAEFAULT;
  /* It "should not be called" for streams; no error is documented. */
  if (facts->type == SOCK_STREAM) return WSAEINVAL;
  if (length < sizeof(SOCKADDR_IN)) return WSAEMSGSIZE;
  if (peer->sa_family == AF_INET6 && length < sizeof(SOCKADDR_IN6)) return WSAEMSGSIZE;
  return check_peer(facts, peer, 0);
}

static ULONG info_size(const SOCKET_SECURITY_QUERY_TEMPLATE *template) {
  return template && template->SecurityProtocol == SOCKET_SECURITY_PROTOCOL_IPSEC2
             ? sizeof(SOCKET_SECURITY_QUERY_INFO_IPSEC2)
             : sizeof(SOCKET_SECURITY_QUERY_INFO);
}

static int check_query(const struct facts *facts, const SOCKET_SECURITY_QUERY_TEMPLATE *template,
                       ULONG length, const void *info, ULONG *info_length) {
  int error = family_and_type(facts);
  if (error) return error;
  if (!info_length) return WSAEFAULT;
  const int datagram = facts->type == SOCK_DGRAM;
  if ((template || datagram) && length < sizeof *template) return WSAEMSGSIZE;
  if (!template && datagram) return WSAEINVAL;
  if (template) {
    if (template->SecurityProtocol >= SOCKET_SECURITY_PROTOCOL_INVALID) return WSAEINVAL;
    if (template->SecurityProtocol == SOCKET_SECURITY_PROTOCOL_IPSEC2) {
      const SOCKET_SECURITY_QUERY_TEMPLATE_IPSEC2 *ipsec2 = (const void *)template;
      if (length < sizeof *ipsec2) return WSAEMSGSIZE;
      if (ipsec2->Flags & ~SOCKET_QUERY_IPSEC2_ABORT_CONNECTION_ON_FIELD_CHANGE) return WSAEINVAL;
      if (ipsec2->FieldMask & ~3u) return WSAEINVAL;
    }
    if (datagram) {
      error = check_peer(facts, (const struct sockaddr *)&template->PeerAddress, 1);
      if (error) return error;
    }
  }
  /* It is for established connections; no error is documented. */
  if (!datagram && !facts->connected) return WSAENOTCONN;
  const ULONG needed = info_size(template);
  if (!info) {
    *info_length = needed;
    /* For datagrams it is documented. For streams it is not: the test decides. */
    return datagram ? WSAEMSGSIZE : answers.probe_error;
  }
  if (*info_length < needed) {
    *info_length = needed;
    return WSAEMSGSIZE;
  }
  return 0;
}

/* ---- Tokens. ---- */

static int token_identity(HANDLE token, LUID *identity) {
  TOKEN_STATISTICS statistics;
  DWORD length;
  if (!GetTokenInformation(token, TokenStatistics, &statistics, sizeof statistics, &length)) return 0;
  *identity = statistics.TokenId;
  return 1;
}

/* A token of its own, as if it were the peer's: that of this process, duplicated for impersonation. */
static HANDLE make_token(DWORD access) {
  HANDLE own, token = NULL;
  if (!OpenProcessToken(GetCurrentProcess(), TOKEN_DUPLICATE | TOKEN_QUERY, &own)) return NULL;
  DuplicateTokenEx(own, access, NULL, SecurityImpersonation, TokenImpersonation, &token);
  CloseHandle(own);
  return token;
}

/* One that the caller has to close. */
static UINT64 give_token(DWORD access) {
  HANDLE handle = make_token(access | TOKEN_QUERY);
  if (!handle) return 0;
  struct token *token = calloc(1, sizeof *token);
  token->handle = handle;
  token_identity(handle, &token->identity);
  token->next = tokens;
  tokens = token;
  return (UINT64)(uintptr_t)handle;
}

/* ---- Completion. ---- */

/* What the system writes to an OVERLAPPED, and Wine's WSAGetOverlappedResult() makes of it again. */
static ULONG_PTR status_of(int error) {
  switch (error) {
    case 0: return 0;
    case WSAEFAULT: return 0xC0000005;
    case WSAEINVAL: return 0xC000000D;
    case WSAENOTSOCK: return 0xC0000024;
    case WSAEMSGSIZE: return 0x80000005;
    case WSAECONNRESET: return 0xC000020D;
    case WSAEISCONN: return 0xC000023B;
    case WSAENOTCONN: return 0xC0000140;
    case WSAETIMEDOUT: return 0xC00000B5;
    case WSAECONNREFUSED: return 0xC0000236;
    case WSAEHOSTUNREACH: return 0xC000023D;
    case WSAENOBUFS: return 0xC000009A;
    case WSAEACCES: return 0xC0000022;
    case WSA_OPERATION_ABORTED: return 0xC0000120;
    default: return 0xC0000001;
  }
}

static int fill_info(const struct operation *operation, const struct facts *facts) {
  const SOCKET_SECURITY_QUERY_TEMPLATE *template = (const void *)operation->copy;
  const USHORT port = facts->type == SOCK_STREAM
                          ? facts->peer_port
                          : ntohs(port_of((const struct sockaddr *)&template->PeerAddress));
  ULONG flags = answers.flags;
  for (const struct peer *it = peers; it; it = it->next) {
    if (it->port != port) continue;
    if (it->error) return it->error;
    flags = it->flags;
    break;
  }
  SOCKET_SECURITY_QUERY_INFO_IPSEC2 info;
  memset(&info, 0, sizeof info);
  if (!is_secured(operation->socket, facts)) flags = 0;
  const int secured = flags & SOCKET_INFO_CONNECTION_SECURED;
  info.Flags = flags;
  if (template) {
    info.SecurityProtocol = template->SecurityProtocol;
    const ULONG access = template->PeerTokenAccessMask;
    if (secured && access && answers.user_token)
      info.PeerApplicationAccessTokenHandle = give_token(access);
    if (secured && access && answers.machine_token)
      info.PeerMachineAccessTokenHandle = give_token(access);
    if (template->SecurityProtocol == SOCKET_SECURITY_PROTOCOL_IPSEC2) {
      const ULONG mask = ((const SOCKET_SECURITY_QUERY_TEMPLATE_IPSEC2 *)template)->FieldMask;
      if (mask & SOCKET_QUERY_IPSEC2_FIELD_MASK_MM_SA_ID) info.MmSaId = answers.mm_sa_id;
      if (mask & SOCKET_QUERY_IPSEC2_FIELD_MASK_QM_SA_ID) info.QmSaId = answers.qm_sa_id;
      info.NegotiationWinerr = answers.negotiation_winerr;
    }
  }
  const ULONG size = info_size(template);
  memcpy(operation->info, &info, size);
  *operation->info_length = size;
  return 0;
}

/*
 * A completion port gets a packet of every overlapped operation of its sockets, except where the lowest
 * bit of hEvent is set. So let the socket have a real operation that ends: if it is libuv's, libuv
 * finds a packet that it did not ask for, as it would on Windows.
 */
static void tell_completion_port(SOCKET socket) {
  /* libuv looks for its request round about the OVERLAPPED, and finds one that it does not know. */
  char *surroundings = calloc(1, 8192);
  OVERLAPPED *overlapped = (OVERLAPPED *)(surroundings + 4096);
  DWORD returned;
  if (WSAIoctl(socket, SIO_ADDRESS_LIST_CHANGE, NULL, 0, NULL, 0, &returned, overlapped, NULL) == 0) return;
  if (WSAGetLastError() != WSA_IO_PENDING) return;
  static NTSTATUS(NTAPI * cancel)(HANDLE, void *, IO_STATUS_BLOCK *);
  if (!cancel) cancel = (void *)GetProcAddress(GetModuleHandleA("ntdll.dll"), "NtCancelIoFileEx");
  IO_STATUS_BLOCK status;
  cancel((HANDLE)socket, overlapped, &status);
}

static void finish_overlapped(WSAOVERLAPPED *overlapped, HANDLE event, int error, ULONG bytes) {
  overlapped->InternalHigh = bytes;
  MemoryBarrier();
  overlapped->Internal = status_of(error);
  if (event) SetEvent(event);
}

struct apc {
  LPWSAOVERLAPPED_COMPLETION_ROUTINE routine;
  DWORD error, bytes;
  WSAOVERLAPPED *overlapped;
};

static void CALLBACK run_routine(ULONG_PTR parameter) {
  struct apc apc = *(struct apc *)parameter;
  free((void *)parameter);
  apc.routine(apc.error, apc.bytes, apc.overlapped, 0);
}

/* The lock is held. Does what the function is for, and says with which error it ends. */
static int perform(struct operation *operation, ULONG *bytes) {
  *bytes = 0;
  if (operation->function != QUERY) return 0;
  struct facts facts;
  int error = examine(operation->socket, &facts);
  if (error || facts.identity != operation->identity) return WSAENOTSOCK;
  error = fill_info(operation, &facts);
  if (!error) *bytes = *operation->info_length;
  return error;
}

static void forget(struct operation *operation) {
  for (struct operation **it = &operations; *it; it = &(*it)->next) {
    if (*it != operation) continue;
    *it = operation->next;
    return;
  }
}

static void free_operation(struct operation *operation) {
  if (operation->alarm) CloseHandle(operation->alarm);
  if (operation->thread) CloseHandle(operation->thread);
  /* A test looks for passwords in all the memory of the process. */
  if (operation->copy) SecureZeroMemory(operation->copy, operation->length);
  free(operation->copy);
  free(operation);
}

static DWORD WINAPI complete_later(void *parameter) {
  struct operation *operation = parameter;
  const enum mode mode = operation->behaviour.mode;
  const int endless = mode == NEVER || mode == STUCK;
  const DWORD delay = endless ? INFINITE : (DWORD)operation->behaviour.delay;
  WaitForSingleObject(operation->alarm, delay);

  EnterCriticalSection(&lock);
  /* Whatever the call may touch must be there until now, and unchanged. */
  const int changed = operation->copy && memcmp(operation->copy, operation->input, operation->length) != 0;
  ULONG bytes = 0;
  int error = operation->cancelled ? WSA_OPERATION_ABORTED
              : mode == PEND_FAIL ? operation->behaviour.error
                                  : perform(operation, &bytes);
  struct line line = {0};
  add(&line, "{\"phase\":\"complete\",\"function\":\"%s\",\"socket\":%llu,\"thread\":%lu", names[operation->function],
      (unsigned long long)operation->socket, GetCurrentThreadId());
  add(&line, ",\"lowBit\":%s,\"inputChanged\":%s", operation->low_bit ? "true" : "false", changed ? "true" : "false");
  add(&line, ",\"result\":%d,\"error\":%d", error ? -1 : 0, error);
  write_line(&line);
  forget(operation);
  WSAOVERLAPPED *overlapped = operation->overlapped;
  const SOCKET socket = operation->socket;
  struct apc *apc = NULL;
  if (operation->routine) {
    apc = malloc(sizeof *apc);
    *apc = (struct apc){operation->routine, (DWORD)error, bytes, overlapped};
  }
  struct facts facts;
  const int open = !examine(socket, &facts) && facts.identity == operation->identity;
  /* From here the OVERLAPPED is the caller's again. */
  finish_overlapped(overlapped, operation->event, error, bytes);
  LeaveCriticalSection(&lock);
  if (apc && !QueueUserAPC(run_routine, operation->thread, (ULONG_PTR)apc)) free(apc);
  if (open && !operation->low_bit) tell_completion_port(socket);
  free_operation(operation);
  return 0;
}

/* ---- A call. ---- */

struct call {
  enum function function;
  SOCKET socket;
  const void *input;
  ULONG length;
  WSAOVERLAPPED *overlapped;
  LPWSAOVERLAPPED_COMPLETION_ROUTINE routine;
  SOCKET_SECURITY_QUERY_INFO *info;
  ULONG *info_length;
  struct facts facts;
};

static struct behaviour next_behaviour(enum function function) {
  struct behaviour *it = &behaviours[function], now = *it;
  if (it->times > 0 && --it->times == 0) *it = (struct behaviour){BY_DOCUMENT, 0, 0, -1};
  return now;
}

static const char *boolean(int value) { return value ? "true" : "false"; }

static void log_call(const struct call *call, enum mode mode, int result, int error) {
  const struct facts *facts = &call->facts;
  struct line line = {0};
  add(&line, "{\"phase\":\"call\",\"function\":\"%s\",\"socket\":%llu,\"thread\":%lu", names[call->function],
      (unsigned long long)call->socket, GetCurrentThreadId());
  add(&line, ",\"family\":%d,\"type\":%d,\"bound\":%s,\"connected\":%s,\"secured\":%s", facts->family, facts->type,
      boolean(facts->bound), boolean(facts->connected), boolean(find_secured(call->socket, facts->identity) != NULL));
  add(&line, ",\"socketOverlapped\":%s,\"overlapped\":%s,\"lowBit\":%s,\"routine\":%s", boolean(facts->overlapped),
      boolean(call->overlapped != NULL), boolean(call->overlapped && ((ULONG_PTR)call->overlapped->hEvent & 1)),
      boolean(call->routine != NULL));
  if (call->input) add_hex(&line, call->input, call->length);
  add(&line, ",\"length\":%lu,\"mode\":\"%s\",\"result\":%d,\"error\":%d", call->length, modes[mode], result, error);
  write_line(&line);
}

/*
 * The common part of the four functions that may be overlapped. `error` is what the preconditions said.
 * The lock is held on entry and left on return.
 */
static int conclude(struct call *call, int error) {
  struct behaviour behaviour = {BY_DOCUMENT, 0, 0, -1};
  /* The OVERLAPPED is ignored for sockets that are not overlapped. */
  WSAOVERLAPPED *overlapped = call->facts.overlapped ? call->overlapped : NULL;
  if (!error) behaviour = next_behaviour(call->function);
  const int pends = behaviour.mode >= PEND && behaviour.mode <= STUCK;

  if (!error && behaviour.mode == FAIL) error = behaviour.error;
  if (error) {
    log_call(call, behaviour.mode, SOCKET_ERROR, error);
    LeaveCriticalSection(&lock);
    WSASetLastError(error);
    return SOCKET_ERROR;
  }

  struct operation *operation = calloc(1, sizeof *operation);
  operation->function = call->function;
  operation->socket = call->socket;
  operation->identity = call->facts.identity;
  operation->behaviour = behaviour;
  operation->info = call->info;
  operation->info_length = call->info_length;
  if (call->input) {
    operation->input = call->input;
    operation->length = call->length;
    operation->copy = malloc(call->length + 1);
    memcpy(operation->copy, call->input, call->length);
  }

  if (pends && overlapped) {
    operation->overlapped = overlapped;
    operation->routine = call->routine;
    operation->low_bit = (ULONG_PTR)overlapped->hEvent & 1;
    operation->event = (HANDLE)((ULONG_PTR)overlapped->hEvent & ~(ULONG_PTR)1);
    operation->alarm = CreateEventW(NULL, TRUE, FALSE, NULL);
    DuplicateHandle(GetCurrentProcess(), GetCurrentThread(), GetCurrentProcess(), &operation->thread, 0, FALSE,
                    DUPLICATE_SAME_ACCESS);
    if (operation->event) ResetEvent(operation->event);
    overlapped->Internal = STATUS_PENDING;
    overlapped->InternalHigh = 0;
    operation->next = operations;
    operations = operation;
    log_call(call, behaviour.mode, SOCKET_ERROR, WSA_IO_PENDING);
    CloseHandle(CreateThread(NULL, 65536, complete_later, operation, 0, NULL));
    LeaveCriticalSection(&lock);
    WSASetLastError(WSA_IO_PENDING);
    return SOCKET_ERROR;
  }

  /* Without an OVERLAPPED, what takes its time blocks the caller. */
  const int endless = behaviour.mode == NEVER || behaviour.mode == STUCK;
  if (pends || behaviour.mode == BLOCK) {
    LeaveCriticalSection(&lock);
    Sleep(endless ? INFINITE : (DWORD)behaviour.delay);
    EnterCriticalSection(&lock);
  }
  ULONG bytes = 0;
  error = behaviour.mode == PEND_FAIL ? behaviour.error : behaviour.mode == PRETEND ? 0 : perform(operation, &bytes);
  if (overlapped) {
    HANDLE event = (HANDLE)((ULONG_PTR)overlapped->hEvent & ~(ULONG_PTR)1);
    finish_overlapped(overlapped, event, error, bytes);
  }
  log_call(call, behaviour.mode, error ? SOCKET_ERROR : 0, error);
  free_operation(operation);
  LeaveCriticalSection(&lock);
  WSASetLastError(error);
  return error ? SOCKET_ERROR : 0;
}

/* ---- The six functions. ---- */

EXPORT INT WSAAPI WSASetSocketSecurity(SOCKET Socket, const SOCKET_SECURITY_SETTINGS *SecuritySettings,
                                       ULONG SecuritySettingsLen, LPWSAOVERLAPPED Overlapped,
                                       LPWSAOVERLAPPED_COMPLETION_ROUTINE CompletionRoutine) {
  struct call call = {SET, Socket, SecuritySettings, SecuritySettingsLen, Overlapped, CompletionRoutine, 0, 0, {0}};
  EnterCriticalSection(&lock);
  int error = examine(Socket, &call.facts);
  if (!error) error = check_set(Socket, &call.facts, SecuritySettings, SecuritySettingsLen);
  return conclude(&call, error);
}

EXPORT INT WSAAPI WSAQuerySocketSecurity(SOCKET Socket, const SOCKET_SECURITY_QUERY_TEMPLATE *SecurityQueryTemplate,
                                         ULONG SecurityQueryTemplateLen, SOCKET_SECURITY_QUERY_INFO *SecurityQueryInfo,
                                         ULONG *SecurityQueryInfoLen, LPWSAOVERLAPPED Overlapped,
                                         LPWSAOVERLAPPED_COMPLETION_ROUTINE CompletionRoutine) {
  struct call call = {QUERY,      Socket,           SecurityQueryTemplate, SecurityQueryTemplateLen,
                      Overlapped, CompletionRoutine, SecurityQueryInfo,     SecurityQueryInfoLen,
                      {0}};
  EnterCriticalSection(&lock);
  int error = examine(Socket, &call.facts);
  if (!error) {
    error = check_query(&call.facts, SecurityQueryTemplate, SecurityQueryTemplateLen, SecurityQueryInfo,
                        SecurityQueryInfoLen);
  }
  return conclude(&call, error);
}

EXPORT INT WSAAPI WSASetSocketPeerTargetName(SOCKET Socket, const SOCKET_PEER_TARGET_NAME *PeerTargetName,
                                             ULONG PeerTargetNameLen, LPWSAOVERLAPPED Overlapped,
                                             LPWSAOVERLAPPED_COMPLETION_ROUTINE CompletionRoutine) {
  struct call call = {NAME, Socket, PeerTargetName, PeerTargetNameLen, Overlapped, CompletionRoutine, 0, 0, {0}};
  EnterCriticalSection(&lock);
  int error = examine(Socket, &call.facts);
  if (!error) error = check_name(Socket, &call.facts, PeerTargetName, PeerTargetNameLen);
  return conclude(&call, error);
}

EXPORT INT WSAAPI WSADeleteSocketPeerTargetName(SOCKET Socket, const struct sockaddr *PeerAddr, ULONG PeerAddrLen,
                                                LPWSAOVERLAPPED Overlapped,
                                                LPWSAOVERLAPPED_COMPLETION_ROUTINE CompletionRoutine) {
  struct call call = {DELETE_NAME, Socket, PeerAddr, PeerAddrLen, Overlapped, CompletionRoutine, 0, 0, {0}};
  EnterCriticalSection(&lock);
  int error = examine(Socket, &call.facts);
  if (!error) error = check_delete(&call.facts, PeerAddr, PeerAddrLen);
  return conclude(&call, error);
}

static int impersonate(const struct call *call, enum mode mode) {
  const struct facts *facts = &call->facts;
  int error = family_and_type(facts);
  if (error) return error;
  if (facts->type == SOCK_DGRAM) {
    if (!call->input) return WSAEFAULT;
    const struct sockaddr *peer = call->input;
    if (call->length < sizeof(SOCKADDR_IN)) return WSAEMSGSIZE;
    if (peer->sa_family == AF_INET6 && call->length < sizeof(SOCKADDR_IN6)) return WSAEMSGSIZE;
    error = check_peer(facts, peer, 1);
    if (error) return error;
  } else if (!facts->connected) {
    return WSAENOTCONN;
  }
  /* Documented for blocking sockets that are not overlapped, without an error; Node's are all overlapped. */
  if (mode == PRETEND) return 0;
  if (facts->overlapped && mode == BY_DOCUMENT && variant.impersonate) return variant.impersonate;
  /* Without any token of the peer there is nobody to be; no error is documented. */
  if (!is_secured(call->socket, facts) || !(answers.user_token || answers.machine_token)) return WSAEACCES;
  HANDLE token = make_token(TOKEN_IMPERSONATE | TOKEN_QUERY);
  if (!token) return WSASYSCALLFAILURE;
  const BOOL done = SetThreadToken(NULL, token);
  CloseHandle(token);
  return done ? 0 : WSASYSCALLFAILURE;
}

EXPORT INT WSAAPI WSAImpersonateSocketPeer(SOCKET Socket, const struct sockaddr *PeerAddr, ULONG PeerAddrLen) {
  struct call call = {IMPERSONATE, Socket, PeerAddr, PeerAddrLen, 0, 0, 0, 0, {0}};
  EnterCriticalSection(&lock);
  int error = examine(Socket, &call.facts);
  const struct behaviour behaviour = next_behaviour(IMPERSONATE);
  if (!error) error = behaviour.mode == FAIL ? behaviour.error : impersonate(&call, behaviour.mode);
  log_call(&call, behaviour.mode, error ? SOCKET_ERROR : 0, error);
  LeaveCriticalSection(&lock);
  WSASetLastError(error);
  return error ? SOCKET_ERROR : 0;
}

EXPORT INT WSAAPI WSARevertImpersonation(void) {
  struct call call = {REVERT, 0, NULL, 0, 0, 0, 0, 0, {0}};
  EnterCriticalSection(&lock);
  const struct behaviour behaviour = next_behaviour(REVERT);
  int error = behaviour.mode == FAIL ? behaviour.error
              : behaviour.mode == PRETEND || RevertToSelf() ? 0
                                                            : WSASYSCALLFAILURE;
  log_call(&call, behaviour.mode, error ? SOCKET_ERROR : 0, error);
  LeaveCriticalSection(&lock);
  WSASetLastError(error);
  return error ? SOCKET_ERROR : 0;
}

/* ---- For the test. ---- */

static int index_of(const char *text, const char *const *list, int count) {
  for (int i = 0; i < count; i++)
    if (!strcmp(text, list[i])) return i;
  return -1;
}

/* 0, or -1 where a name is unknown, or where Wine can tell no such error later. */
EXPORT int double_behave(const char *function, const char *mode, int delay, int error, int times) {
  const int which = index_of(function, names, FUNCTIONS), how = index_of(mode, modes, MODES);
  if (which < 0 || how < 0) return -1;
  if (how == PEND_FAIL && status_of(error) == status_of(-1)) return -1;
  EnterCriticalSection(&lock);
  behaviours[which] = (struct behaviour){(enum mode)how, delay, error, times};
  LeaveCriticalSection(&lock);
  return 0;
}

EXPORT void double_answers(unsigned flags, uint64_t mm_sa_id, uint64_t qm_sa_id, unsigned negotiation_winerr,
                           int user_token, int machine_token, int probe_error) {
  EnterCriticalSection(&lock);
  answers.flags = flags;
  answers.mm_sa_id = mm_sa_id;
  answers.qm_sa_id = qm_sa_id;
  answers.negotiation_winerr = negotiation_winerr;
  answers.user_token = user_token;
  answers.machine_token = machine_token;
  answers.probe_error = probe_error;
  LeaveCriticalSection(&lock);
}

/* What is answered about peers of that port; `error` 0: the flags. */
EXPORT void double_answer_for(int port, unsigned flags, int error) {
  struct peer *peer = calloc(1, sizeof *peer);
  EnterCriticalSection(&lock);
  *peer = (struct peer){peers, (USHORT)port, flags, error};
  peers = peer;
  LeaveCriticalSection(&lock);
}

/* Everything since the last time; good until the next time. */
EXPORT const char *double_take_log(void) {
  EnterCriticalSection(&lock);
  free(taken_text);
  taken_text = log_text;
  log_text = NULL;
  log_used = log_size = 0;
  LeaveCriticalSection(&lock);
  return taken_text ? taken_text : "";
}

EXPORT int double_outstanding(void) {
  int count = 0;
  EnterCriticalSection(&lock);
  for (struct operation *it = operations; it; it = it->next) count++;
  LeaveCriticalSection(&lock);
  return count;
}

/* Lets every operation that is under way end: as cancelled, or in its own way. */
EXPORT void double_release(int as_cancelled) {
  EnterCriticalSection(&lock);
  for (struct operation *it = operations; it; it = it->next) {
    it->cancelled = as_cancelled;
    SetEvent(it->alarm);
  }
  LeaveCriticalSection(&lock);
}

/* How many of the tokens that queries have given are not closed yet. */
EXPORT int double_open_tokens(void) {
  int count = 0;
  EnterCriticalSection(&lock);
  for (struct token *it = tokens; it; it = it->next) {
    LUID identity;
    if (!token_identity(it->handle, &identity)) continue;
    count += identity.LowPart == it->identity.LowPart && identity.HighPart == it->identity.HighPart;
  }
  LeaveCriticalSection(&lock);
  return count;
}

EXPORT int double_given_tokens(void) {
  int count = 0;
  EnterCriticalSection(&lock);
  for (struct token *it = tokens; it; it = it->next) count++;
  LeaveCriticalSection(&lock);
  return count;
}

/* Whether the calling thread runs as somebody. */
EXPORT int double_impersonating(void) {
  HANDLE token;
  if (!OpenThreadToken(GetCurrentThread(), TOKEN_QUERY, TRUE, &token)) return 0;
  CloseHandle(token);
  return 1;
}

/*
 * How many handles the process has open. Wine's GetProcessHandleCount() says 0 always, but Wine gives
 * the lowest number that is free, so there is none behind a long gap.
 */
EXPORT int double_handles(void) {
  int count = 0, gap = 0;
  for (uintptr_t number = 4; gap < 512; number += 4) {
    DWORD flags;
    const BOOL open = GetHandleInformation((HANDLE)number, &flags);
    count += open;
    gap = open ? 0 : gap + 1;
  }
  return count;
}

EXPORT void double_reset(void) {
  EnterCriticalSection(&lock);
  reset();
  log_used = 0;
  watching = 0;
  LeaveCriticalSection(&lock);
}

/* ---- What the system knows without being told: that an operation is cancelled, that a socket is closed. ---- */

/* Replaces a function of the system, for everybody in the process, by one that does all its work. */
static void replace(void *function, void *by) {
  unsigned char code[12] = {0x48, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xE0}; /* mov rax, by; jmp rax */
  memcpy(code + 2, &by, sizeof by);
  DWORD protection;
  VirtualProtect(function, sizeof code, PAGE_EXECUTE_READWRITE, &protection);
  memcpy(function, code, sizeof code);
  VirtualProtect(function, sizeof code, protection, &protection);
  FlushInstructionCache(GetCurrentProcess(), function, sizeof code);
}

static int cancel_operations(HANDLE handle, const OVERLAPPED *overlapped, int closing) {
  int found = 0;
  for (struct operation *it = operations; it; it = it->next) {
    if ((HANDLE)it->socket != handle || (overlapped && it->overlapped != overlapped)) continue;
    if (it->behaviour.mode == STUCK && !closing) continue;
    it->cancelled = 1;
    SetEvent(it->alarm);
    found = 1;
  }
  return found;
}

static BOOL WINAPI cancel_io_ex(HANDLE handle, OVERLAPPED *overlapped) {
  EnterCriticalSection(&lock);
  int known = 0;
  for (struct operation *it = operations; it; it = it->next)
    known |= (HANDLE)it->socket == handle && (!overlapped || it->overlapped == overlapped);
  const int found = cancel_operations(handle, overlapped, 0);
  if (known) {
    struct line line = {0};
    add(&line, "{\"phase\":\"call\",\"function\":\"CancelIoEx\",\"socket\":%llu,\"thread\":%lu,\"result\":%d",
        (unsigned long long)(uintptr_t)handle, GetCurrentThreadId(), found);
    write_line(&line);
  }
  LeaveCriticalSection(&lock);
  if (known && overlapped) return TRUE;

  static NTSTATUS(NTAPI * cancel)(HANDLE, void *, IO_STATUS_BLOCK *);
  if (!cancel) cancel = (void *)GetProcAddress(GetModuleHandleA("ntdll.dll"), "NtCancelIoFileEx");
  IO_STATUS_BLOCK status;
  const NTSTATUS result = cancel(handle, overlapped, &status);
  if (!result || found) return TRUE;
  SetLastError(RtlNtStatusToDosError(result));
  return FALSE;
}

/* Wine's closes the handle of what is a socket, too. */
static int WSAAPI close_socket(SOCKET socket) {
  struct facts facts;
  const int error = examine(socket, &facts);
  EnterCriticalSection(&lock);
  const int secured = !error && find_secured(socket, facts.identity) != NULL;
  /* libuv closes INVALID_SOCKET in the place of a connection that it has not accepted yet. */
  if ((error && socket != INVALID_SOCKET) || secured) {
    struct line line = {0};
    add(&line, "{\"phase\":\"call\",\"function\":\"closesocket\",\"socket\":%llu,\"thread\":%lu",
        (unsigned long long)socket, GetCurrentThreadId());
    add(&line, ",\"bound\":%s,\"connected\":%s,\"result\":%d,\"error\":%d", boolean(facts.bound),
        boolean(facts.connected), error ? SOCKET_ERROR : 0, error);
    write_line(&line);
  }
  if (!error) {
    cancel_operations((HANDLE)socket, NULL, 1);
    forget_secured(socket, facts.identity);
    CloseHandle((HANDLE)socket);
  }
  LeaveCriticalSection(&lock);
  WSASetLastError(error);
  return error ? SOCKET_ERROR : 0;
}

/* ---- What libuv does with sockets, for tests that ask when the first packet left. ---- */

static struct {
  int(WSAAPI *bind)(SOCKET, const struct sockaddr *, int);
  int(WSAAPI *listen)(SOCKET, int);
  int(WSAAPI *connect)(SOCKET, const struct sockaddr *, int);
  int(WSAAPI *WSASend)(SOCKET, WSABUF *, DWORD, DWORD *, DWORD, WSAOVERLAPPED *, LPWSAOVERLAPPED_COMPLETION_ROUTINE);
  int(WSAAPI *WSASendTo)(SOCKET, WSABUF *, DWORD, DWORD *, DWORD, const struct sockaddr *, int, WSAOVERLAPPED *,
                         LPWSAOVERLAPPED_COMPLETION_ROUTINE);
  int(WSAAPI *WSAIoctl)(SOCKET, DWORD, void *, DWORD, void *, DWORD, DWORD *, WSAOVERLAPPED *,
                        LPWSAOVERLAPPED_COMPLETION_ROUTINE);
  LPFN_CONNECTEX ConnectEx;
} real;

static void saw(const char *function, SOCKET socket, const struct sockaddr *address, const WSABUF *buffers, DWORD count) {
  EnterCriticalSection(&lock);
  struct facts facts;
  if (watching && !examine(socket, &facts)) {
    ULONG length = 0;
    for (DWORD i = 0; i < count; i++) length += buffers[i].len;
    struct line line = {0};
    add(&line, "{\"phase\":\"libuv\",\"function\":\"%s\",\"socket\":%llu,\"thread\":%lu", function,
        (unsigned long long)socket, GetCurrentThreadId());
    add(&line, ",\"type\":%d,\"secured\":%s,\"port\":%d,\"length\":%lu", facts.type,
        boolean(find_secured(socket, facts.identity) != NULL), address ? ntohs(port_of(address)) : facts.peer_port, length);
    write_line(&line);
  }
  LeaveCriticalSection(&lock);
}

static int WSAAPI seen_bind(SOCKET socket, const struct sockaddr *address, int length) {
  saw("bind", socket, address, NULL, 0);
  return real.bind(socket, address, length);
}

static int WSAAPI seen_listen(SOCKET socket, int backlog) {
  saw("listen", socket, NULL, NULL, 0);
  return real.listen(socket, backlog);
}

static int WSAAPI seen_connect(SOCKET socket, const struct sockaddr *address, int length) {
  saw("connect", socket, address, NULL, 0);
  return real.connect(socket, address, length);
}

static int WSAAPI seen_send(SOCKET socket, WSABUF *buffers, DWORD count, DWORD *sent, DWORD flags,
                            WSAOVERLAPPED *overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine) {
  saw("WSASend", socket, NULL, buffers, count);
  return real.WSASend(socket, buffers, count, sent, flags, overlapped, routine);
}

static int WSAAPI seen_send_to(SOCKET socket, WSABUF *buffers, DWORD count, DWORD *sent, DWORD flags,
                               const struct sockaddr *address, int length, WSAOVERLAPPED *overlapped,
                               LPWSAOVERLAPPED_COMPLETION_ROUTINE routine) {
  saw("WSASendTo", socket, address, buffers, count);
  return real.WSASendTo(socket, buffers, count, sent, flags, address, length, overlapped, routine);
}

static BOOL PASCAL seen_connect_ex(SOCKET socket, const struct sockaddr *address, int length, void *data,
                                   DWORD data_length, DWORD *sent, OVERLAPPED *overlapped) {
  saw("ConnectEx", socket, address, NULL, 0);
  return real.ConnectEx(socket, address, length, data, data_length, sent, overlapped);
}

/* libuv asks for ConnectEx by its GUID. */
static int WSAAPI seen_ioctl(SOCKET socket, DWORD code, void *in, DWORD in_length, void *out, DWORD out_length,
                             DWORD *returned, WSAOVERLAPPED *overlapped, LPWSAOVERLAPPED_COMPLETION_ROUTINE routine) {
  static const GUID connect_ex = WSAID_CONNECTEX;
  const int result = real.WSAIoctl(socket, code, in, in_length, out, out_length, returned, overlapped, routine);
  if (result || code != SIO_GET_EXTENSION_FUNCTION_POINTER || memcmp(in, &connect_ex, sizeof connect_ex)) return result;
  memcpy(&real.ConnectEx, out, sizeof real.ConnectEx);
  const LPFN_CONNECTEX seen = seen_connect_ex;
  memcpy(out, &seen, sizeof seen);
  return result;
}

/* In the table of what node.exe imports. */
static void replace_import(const char *name, void *by, void *original) {
  void *function = (void *)GetProcAddress(GetModuleHandleA("ws2_32.dll"), name);
  memcpy(original, &function, sizeof function);
  char *base = (char *)GetModuleHandleA(NULL);
  const IMAGE_NT_HEADERS *headers = (void *)(base + ((IMAGE_DOS_HEADER *)base)->e_lfanew);
  const IMAGE_DATA_DIRECTORY *imports = &headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT];
  for (const IMAGE_IMPORT_DESCRIPTOR *it = (void *)(base + imports->VirtualAddress); it->Name; it++) {
    for (void **entry = (void *)(base + it->FirstThunk); *entry; entry++) {
      if (*entry != function) continue;
      DWORD protection;
      VirtualProtect(entry, sizeof *entry, PAGE_READWRITE, &protection);
      *entry = by;
      VirtualProtect(entry, sizeof *entry, protection, &protection);
    }
  }
}

/* From now on the log has what libuv does with any socket, too. */
EXPORT void double_watch(void) {
  EnterCriticalSection(&lock);
  watching = 1;
  if (!real.bind) {
    replace_import("bind", seen_bind, &real.bind);
    replace_import("listen", seen_listen, &real.listen);
    replace_import("connect", seen_connect, &real.connect);
    replace_import("WSASend", seen_send, &real.WSASend);
    replace_import("WSASendTo", seen_send_to, &real.WSASendTo);
    replace_import("WSAIoctl", seen_ioctl, &real.WSAIoctl);
  }
  LeaveCriticalSection(&lock);
}

static const WCHAR *environment(const WCHAR *name) {
  static WCHAR value[512];
  return GetEnvironmentVariableW(name, value, 512) ? value : NULL;
}

static void read_variant(void) {
  const WCHAR *value = environment(L"WINSOCK_DOUBLE_NAME");
  if (value && !wcscmp(value, L"characters")) variant.name_length = NAME_CHARACTERS;
  if (value && !wcscmp(value, L"ipsec2")) variant.name_length = NAME_BY_PROTOCOL;
  value = environment(L"WINSOCK_DOUBLE_SETTINGS");
  if (value) {
    variant.ipsec = wcscmp(value, L"ipsec2") != 0;
    variant.ipsec2 = wcscmp(value, L"ipsec") != 0;
  }
  value = environment(L"WINSOCK_DOUBLE_PROBE");
  if (value && !wcscmp(value, L"fault")) variant.probe_error = WSAEFAULT;
  value = environment(L"WINSOCK_DOUBLE_ACCEPTED");
  if (value) variant.accepted_secured = wcscmp(value, L"clear") != 0;
  value = environment(L"WINSOCK_DOUBLE_IMPERSONATE");
  if (value) variant.impersonate = _wtoi(value); /* ok: 0 */
  value = environment(L"WINSOCK_DOUBLE_REVERT");
  variant.revert_fails = value && !wcscmp(value, L"fails");
  value = environment(L"WINSOCK_DOUBLE_WRONG_NAME");
  const WCHAR *colon = value ? wcsrchr(value, L':') : NULL;
  if (colon && colon - value < 128) {
    memcpy(variant.wrong_name, value, (size_t)(colon - value) * sizeof(WCHAR));
    variant.wrong_name_error = _wtoi(colon + 1);
  }
}

/*
 * WINSOCK_DOUBLE_MISSING=NAME: the library has no such function. The last character of its name is
 * changed in the table of exports, which keeps the table's order.
 */
static void hide(HINSTANCE library, const char *name) {
  char *base = (char *)library;
  const IMAGE_NT_HEADERS *headers = (void *)(base + ((IMAGE_DOS_HEADER *)base)->e_lfanew);
  const DWORD at = headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_EXPORT].VirtualAddress;
  const IMAGE_EXPORT_DIRECTORY *exports = (void *)(base + at);
  const DWORD *texts = (void *)(base + exports->AddressOfNames);
  for (DWORD i = 0; i < exports->NumberOfNames; i++) {
    char *text = base + texts[i];
    if (strcmp(text, name)) continue;
    DWORD protection;
    VirtualProtect(text, strlen(text), PAGE_READWRITE, &protection);
    text[strlen(text) - 1] = '_';
    VirtualProtect(text, strlen(text), protection, &protection);
  }
}

static BOOL WINAPI revert_nothing(void) {
  SetLastError(ERROR_ACCESS_DENIED);
  return FALSE;
}

BOOL WINAPI DllMain(HINSTANCE instance, DWORD reason, LPVOID reserved) {
  (void)reserved;
  if (reason != DLL_PROCESS_ATTACH) return TRUE;
  DisableThreadLibraryCalls(instance);
  char missing[64];
  if (GetEnvironmentVariableA("WINSOCK_DOUBLE_MISSING", missing, sizeof missing)) {
    /* Not a library that can be loaded. */
    if (!strcmp(missing, "all")) return FALSE;
    hide(instance, missing);
  }
  InitializeCriticalSection(&lock);
  read_variant();
  reset();
  WCHAR path[MAX_PATH];
  if (GetEnvironmentVariableW(L"WINSOCK_DOUBLE_LOG", path, MAX_PATH)) {
    const DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    log_file = CreateFileW(path, FILE_APPEND_DATA, share, NULL, OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
  }
  replace(GetProcAddress(GetModuleHandleA("kernelbase.dll"), "CancelIoEx"), cancel_io_ex);
  replace(GetProcAddress(GetModuleHandleA("ws2_32.dll"), "closesocket"), close_socket);
  if (environment(L"WINSOCK_DOUBLE_WATCH")) double_watch();
  if (variant.revert_fails) replace(GetProcAddress(GetModuleHandleA("kernelbase.dll"), "RevertToSelf"), revert_nothing);
  return TRUE;
}
