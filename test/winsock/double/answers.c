/* What a query answers, and the tokens that it gives. */
#include "double.h"

struct answers answers;
struct peer *peers;

/* What the caller has to close. */
struct token {
  struct token *next;
  HANDLE handle;
  LUID identity;
};
static struct token *tokens;

static int token_identity(HANDLE token, LUID *identity) {
  TOKEN_STATISTICS statistics;
  DWORD length;
  if (!GetTokenInformation(token, TokenStatistics, &statistics, sizeof statistics, &length)) return 0;
  *identity = statistics.TokenId;
  return 1;
}

/* A token of its own, as if it were the peer's: that of this process, duplicated for impersonation. */
HANDLE make_token(DWORD access) {
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

int answer(SOCKET socket, const struct facts *facts, const SOCKET_SECURITY_QUERY_TEMPLATE *template,
           SOCKET_SECURITY_QUERY_INFO *info, ULONG *info_length) {
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
  if (!is_secured(socket, facts)) flags = 0;
  SOCKET_SECURITY_QUERY_INFO_IPSEC2 full;
  memset(&full, 0, sizeof full);
  const int secured = flags & SOCKET_INFO_CONNECTION_SECURED;
  full.Flags = flags;
  if (template) {
    full.SecurityProtocol = template->SecurityProtocol;
    const ULONG access = template->PeerTokenAccessMask;
    if (secured && access && answers.user_token)
      full.PeerApplicationAccessTokenHandle = give_token(access);
    if (secured && access && answers.machine_token)
      full.PeerMachineAccessTokenHandle = give_token(access);
    if (template->SecurityProtocol == SOCKET_SECURITY_PROTOCOL_IPSEC2) {
      const ULONG mask = ((const SOCKET_SECURITY_QUERY_TEMPLATE_IPSEC2 *)template)->FieldMask;
      if (mask & SOCKET_QUERY_IPSEC2_FIELD_MASK_MM_SA_ID) full.MmSaId = answers.mm_sa_id;
      if (mask & SOCKET_QUERY_IPSEC2_FIELD_MASK_QM_SA_ID) full.QmSaId = answers.qm_sa_id;
      full.NegotiationWinerr = answers.negotiation_winerr;
    }
  }
  const ULONG size = info_size(template);
  memcpy(info, &full, size);
  *info_length = size;
  return 0;
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

