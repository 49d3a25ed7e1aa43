/*
 * A stand-in for the six secure socket functions of Windows' Fwpuclnt.dll. It secures nothing: it checks
 * what it is given as the documentation says the system does, logs every call as a line of JSON, and
 * completes calls as the test wishes. winsock-double.ts in test/support holds the other end.
 *
 * It is no more forgiving than the documentation. Where that names no error for what it forbids, the
 * comment at the place says which one was chosen.
 *
 *   layouts.h        what the Windows headers say
 *   functions.c      the six functions
 *   preconditions.c  what each of them demands
 *   operations.c     how a call ends: at once, later, never
 *   answers.c        what a query answers; tokens
 *   sockets.c        what a socket is
 *   log.c            the log
 *   system.c         what the system sees by itself: closed sockets, cancelled calls, what libuv does
 *   control.c        what the test calls, and the environment says
 */
#pragma once

#include "layouts.h"

#include <stdlib.h>
#include <string.h>

#define EXPORT __declspec(dllexport)

/* For all that follows: calls come from any thread, completions from others. */
extern CRITICAL_SECTION lock;

enum function { SET, QUERY, NAME, DELETE_NAME, IMPERSONATE, REVERT, FUNCTIONS };
extern const char *const function_names[FUNCTIONS];

/* What they mean is said in winsock-double.ts. */
enum mode { BY_DOCUMENT, SUCCEED, FAIL, PEND, PEND_FAIL, NEVER, STUCK, BLOCK, PRETEND, MODES };
extern const char *const mode_names[MODES];

struct behaviour {
  enum mode mode;
  int delay; /* ms */
  int error;
  int times; /* how many calls more; negative: all */
};

/* What the test wishes of each function. */
extern struct behaviour behaviours[FUNCTIONS];

/* What a query answers. */
struct answers {
  ULONG flags;
  UINT64 mm_sa_id, qm_sa_id;
  UINT32 negotiation_winerr;
  int user_token, machine_token;
  int probe_error;
};
extern struct answers answers;

/* What is answered about the peers of one port instead: its flags, or an error. */
struct peer {
  struct peer *next;
  USHORT port;
  ULONG flags;
  int error;
};
extern struct peer *peers;

/* What Windows may do in more than one way; the environment of the process chooses. */
struct variant {
  /* WINSOCK_DOUBLE_NAME=bytes|characters|ipsec2: what the length of a name counts */
  enum { NAME_BYTES, NAME_CHARACTERS, NAME_BY_PROTOCOL } name_length;
  /* WINSOCK_DOUBLE_SETTINGS=ipsec|ipsec2|both: the protocols that SOCKET_SECURITY_SETTINGS_IPSEC may have */
  int ipsec, ipsec2;
  /* WINSOCK_DOUBLE_ACCEPTED=secured|clear: what a listener accepts */
  int accepted_secured;
  /* WINSOCK_DOUBLE_IMPERSONATE=ok|ERROR: of an overlapped socket */
  int impersonate;
  /* WINSOCK_DOUBLE_REVERT=fails: RevertToSelf() too */
  int revert_fails;
  /* WINSOCK_DOUBLE_WRONG_NAME=TEXT:ERROR: for a name that contains TEXT; 0: it is set, but nothing is secured */
  WCHAR wrong_name[128];
  int wrong_name_error;
  /* WINSOCK_DOUBLE_PROBE=fault|msgsize: the answer to a query without a buffer */
  int probe_error;
};
extern struct variant variant;

/* ---- log.c ---- */

struct line {
  char *text;
  size_t used, size;
};

void add(struct line *line, const char *format, ...);
void add_hex(struct line *line, const unsigned char *bytes, ULONG length);
const char *boolean(int value);
void write_line(struct line *line);
void log_to_file(const WCHAR *path);
/* Everything since the last time; good until the next time. */
const char *take_log(void);

/* ---- sockets.c ---- */

struct facts {
  int family, type;
  int bound, connected, overlapped;
  USHORT port, peer_port;
  /* Not that of a later socket with the same number. */
  uint64_t identity;
};

/* A socket that WSASetSocketSecurity() was called for, or one that a secured listener accepted. */
struct secured {
  struct secured *next;
  SOCKET socket;
  uint64_t identity;
  /* The call has succeeded. */
  int applied;
  int wrong_name;
};

/* 0, or the error of what is no socket. */
int examine(SOCKET socket, struct facts *facts);
struct secured *find_secured(SOCKET socket, uint64_t identity);
void remember_secured(SOCKET socket, uint64_t identity, int applied);
void forget_secured(SOCKET socket, uint64_t identity);
int is_secured(SOCKET socket, const struct facts *facts);
USHORT port_of(const struct sockaddr *address);
/* A function of ntdll.dll. */
void *native(const char *name);

/* ---- preconditions.c: each 0 or an error ---- */

int check_set(SOCKET socket, const struct facts *facts, const SOCKET_SECURITY_SETTINGS *settings, ULONG length);
int check_name(SOCKET socket, const struct facts *facts, const SOCKET_PEER_TARGET_NAME *name, ULONG length);
int check_delete(const struct facts *facts, const struct sockaddr *peer, ULONG length);
int check_query(const struct facts *facts, const SOCKET_SECURITY_QUERY_TEMPLATE *template, ULONG length,
                const void *info, ULONG *info_length);
int check_impersonate(const struct facts *facts, const struct sockaddr *peer, ULONG length);
ULONG info_size(const SOCKET_SECURITY_QUERY_TEMPLATE *template);

/* ---- answers.c ---- */

/* Fills in what was asked: 0 or an error. */
int answer(SOCKET socket, const struct facts *facts, const SOCKET_SECURITY_QUERY_TEMPLATE *template,
           SOCKET_SECURITY_QUERY_INFO *info, ULONG *info_length);
HANDLE make_token(DWORD access);

/* ---- operations.c ---- */

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

/* Those that pend. */
extern struct operation *operations;

struct behaviour next_behaviour(enum function function);
void log_call(const struct call *call, enum mode mode, int result, int error);
/*
 * Ends the call of a function that can be overlapped; `error` is what the preconditions said.
 * The lock is held on entry and left on return.
 */
int conclude(struct call *call, int error);
/* What the system writes to an OVERLAPPED, and Wine's WSAGetOverlappedResult() makes of it again. */
ULONG_PTR status_of(int error);

/* ---- system.c ---- */

void watch_system(void);
/* Of what libuv does, until stop_watching(). */
void watch_libuv(void);
void stop_watching(void);
void break_reverting(void);
