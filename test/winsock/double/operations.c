/* How a call ends: at once, later in another thread, or never. */
#include "double.h"

struct behaviour behaviours[FUNCTIONS];
struct operation *operations;

const char *const function_names[FUNCTIONS] = {
    "WSASetSocketSecurity",          "WSAQuerySocketSecurity",   "WSASetSocketPeerTargetName",
    "WSADeleteSocketPeerTargetName", "WSAImpersonateSocketPeer", "WSARevertImpersonation",
};
const char *const mode_names[MODES] = {
    "default", "succeed", "fail", "pend", "pendFail", "never", "stuck", "block", "pretend",
};

struct behaviour next_behaviour(enum function function) {
  struct behaviour *it = &behaviours[function], now = *it;
  if (it->times > 0 && --it->times == 0) *it = (struct behaviour){BY_DOCUMENT, 0, 0, -1};
  return now;
}

void log_call(const struct call *call, enum mode mode, int result, int error) {
  const struct facts *facts = &call->facts;
  struct line line = {0};
  add(&line, "{\"phase\":\"call\",\"function\":\"%s\",\"socket\":%llu,\"thread\":%lu",
      function_names[call->function], (unsigned long long)call->socket, GetCurrentThreadId());
  add(&line, ",\"family\":%d,\"type\":%d,\"bound\":%s,\"connected\":%s,\"secured\":%s", facts->family, facts->type,
      boolean(facts->bound), boolean(facts->connected), boolean(find_secured(call->socket, facts->identity) != NULL));
  add(&line, ",\"socketOverlapped\":%s,\"overlapped\":%s,\"lowBit\":%s,\"routine\":%s", boolean(facts->overlapped),
      boolean(call->overlapped != NULL), boolean(call->overlapped && ((ULONG_PTR)call->overlapped->hEvent & 1)),
      boolean(call->routine != NULL));
  if (call->input) add_hex(&line, call->input, call->length);
  add(&line, ",\"length\":%lu,\"mode\":\"%s\",\"result\":%d,\"error\":%d", call->length, mode_names[mode], result, error);
  write_line(&line);
}

ULONG_PTR status_of(int error) {
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

static void finish_overlapped(WSAOVERLAPPED *overlapped, HANDLE event, int error, ULONG bytes) {
  overlapped->InternalHigh = bytes;
  MemoryBarrier();
  overlapped->Internal = status_of(error);
  if (event) SetEvent(event);
}

/*
 * A completion port gets a packet of every overlapped operation of its sockets, except where the lowest
 * bit of hEvent is set. So let the socket have a real operation that ends: if it is libuv's, libuv
 * finds a packet that it did not ask for, as it would on Windows.
 */
static void tell_completion_port(SOCKET socket) {
  /* libuv looks for its request round about the OVERLAPPED, and finds one that it does not know. Not freed. */
  char *surroundings = calloc(1, 8192);
  OVERLAPPED *overlapped = (OVERLAPPED *)(surroundings + 4096);
  DWORD returned;
  overlapped->hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
  if (WSAIoctl(socket, SIO_ADDRESS_LIST_CHANGE, NULL, 0, NULL, 0, &returned, overlapped, NULL) == SOCKET_ERROR &&
      WSAGetLastError() == WSA_IO_PENDING) {
    NTSTATUS(NTAPI * cancel)(HANDLE, void *, IO_STATUS_BLOCK *) = native("NtCancelIoFileEx");
    IO_STATUS_BLOCK status;
    cancel((HANDLE)socket, overlapped, &status);
    WaitForSingleObject(overlapped->hEvent, INFINITE);
  }
  CloseHandle(overlapped->hEvent);
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
  struct secured *secured = find_secured(operation->socket, operation->identity);
  if (operation->function == SET && secured) secured->applied = 1;
  if (operation->function != QUERY) return 0;
  struct facts facts;
  int error = examine(operation->socket, &facts);
  if (error || facts.identity != operation->identity) return WSAENOTSOCK;
  const void *template = operation->copy;
  error = answer(operation->socket, &facts, template, operation->info, operation->info_length);
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
  add(&line, "{\"phase\":\"complete\",\"function\":\"%s\",\"socket\":%llu,\"thread\":%lu",
      function_names[operation->function], (unsigned long long)operation->socket, GetCurrentThreadId());
  add(&line, ",\"lowBit\":%s,\"inputChanged\":%s", boolean(operation->low_bit), boolean(changed));
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
  /* Before the caller learns of it: then it may give the socket to a completion port. */
  if (open && !operation->low_bit) tell_completion_port(socket);
  /* From here the OVERLAPPED is the caller's again. */
  finish_overlapped(overlapped, operation->event, error, bytes);
  LeaveCriticalSection(&lock);
  if (apc && !QueueUserAPC(run_routine, operation->thread, (ULONG_PTR)apc)) free(apc);
  free_operation(operation);
  return 0;
}

static struct operation *make_operation(const struct call *call, struct behaviour behaviour) {
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
  return operation;
}

/* Returns to the caller, and ends later. */
static void begin_pending(const struct call *call, struct operation *operation) {
  WSAOVERLAPPED *overlapped = operation->overlapped = call->overlapped;
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
  log_call(call, operation->behaviour.mode, SOCKET_ERROR, WSA_IO_PENDING);
  CloseHandle(CreateThread(NULL, 65536, complete_later, operation, 0, NULL));
}

int conclude(struct call *call, int error) {
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

  struct operation *operation = make_operation(call, behaviour);
  if (pends && overlapped) {
    begin_pending(call, operation);
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
