/* What the test calls, what the environment of the process says, and the library's beginning. */
#include "double.h"

#include <wchar.h>

CRITICAL_SECTION lock;
struct variant variant = {.ipsec = 1,
                          .accepted_secured = 1,
                          .impersonate = WSAEOPNOTSUPP,
                          .probe_error = WSAEMSGSIZE};

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

static int index_of(const char *text, const char *const *list, int count) {
  for (int i = 0; i < count; i++)
    if (!strcmp(text, list[i])) return i;
  return -1;
}

/* 0, or -1 where a name is unknown, or where Wine can tell no such error later. */
EXPORT int double_behave(const char *function, const char *mode, int delay, int error, int times) {
  const int which = index_of(function, function_names, FUNCTIONS), how = index_of(mode, mode_names, MODES);
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

EXPORT const char *double_take_log(void) {
  EnterCriticalSection(&lock);
  const char *text = take_log();
  LeaveCriticalSection(&lock);
  return text;
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

/* From now on the log has what libuv does with any socket, too. */
EXPORT void double_watch(void) {
  EnterCriticalSection(&lock);
  watch_libuv();
  LeaveCriticalSection(&lock);
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
  take_log();
  stop_watching();
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
  const WCHAR *path = environment(L"WINSOCK_DOUBLE_LOG");
  if (path) log_to_file(path);
  watch_system();
  if (environment(L"WINSOCK_DOUBLE_WATCH")) watch_libuv();
  if (variant.revert_fails) break_reverting();
  return TRUE;
}
