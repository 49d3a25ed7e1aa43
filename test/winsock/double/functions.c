/* The six functions. */
#include "double.h"

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

/* Runs the calling thread as the peer. */
static int impersonate(const struct call *call, enum mode mode) {
  if (mode == PRETEND) return 0;
  /* Documented for blocking sockets that are not overlapped, without an error; Node's are all overlapped. */
  if (call->facts.overlapped && mode == BY_DOCUMENT && variant.impersonate) return variant.impersonate;
  /* Without any token of the peer there is nobody to be; no error is documented. */
  if (!is_secured(call->socket, &call->facts) || !(answers.user_token || answers.machine_token)) return WSAEACCES;
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
  if (!error) error = check_impersonate(&call.facts, PeerAddr, PeerAddrLen);
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
