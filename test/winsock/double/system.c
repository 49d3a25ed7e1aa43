/*
 * What the system knows without being told: that an operation is cancelled, that a socket is closed, and
 * on request what libuv does with sockets.
 */
#include "double.h"

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

  NTSTATUS(NTAPI * cancel)(HANDLE, void *, IO_STATUS_BLOCK *) = native("NtCancelIoFileEx");
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

static BOOL WINAPI revert_nothing(void) {
  SetLastError(ERROR_ACCESS_DENIED);
  return FALSE;
}

static void *function_of(const char *library, const char *name) {
  return (void *)GetProcAddress(GetModuleHandleA(library), name);
}

void watch_system(void) {
  replace(function_of("kernelbase.dll", "CancelIoEx"), cancel_io_ex);
  replace(function_of("ws2_32.dll", "closesocket"), close_socket);
}

void break_reverting(void) {
  replace(function_of("kernelbase.dll", "RevertToSelf"), revert_nothing);
}

/* ---- libuv, by the table of what node.exe imports ---- */

static int watching;

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

static void saw(const char *function, SOCKET socket, const struct sockaddr *address, const WSABUF *buffers,
                DWORD count) {
  EnterCriticalSection(&lock);
  struct facts facts;
  if (watching && !examine(socket, &facts)) {
    ULONG length = 0;
    for (DWORD i = 0; i < count; i++) length += buffers[i].len;
    struct line line = {0};
    add(&line, "{\"phase\":\"libuv\",\"function\":\"%s\",\"socket\":%llu,\"thread\":%lu", function,
        (unsigned long long)socket, GetCurrentThreadId());
    const int port = address ? ntohs(port_of(address)) : facts.peer_port;
    add(&line, ",\"type\":%d,\"secured\":%s,\"port\":%d,\"length\":%lu", facts.type,
        boolean(find_secured(socket, facts.identity) != NULL), port, length);
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
  void *function = function_of("ws2_32.dll", name);
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

void watch_libuv(void) {
  watching = 1;
  if (!real.bind) {
    replace_import("bind", seen_bind, &real.bind);
    replace_import("listen", seen_listen, &real.listen);
    replace_import("connect", seen_connect, &real.connect);
    replace_import("WSASend", seen_send, &real.WSASend);
    replace_import("WSASendTo", seen_send_to, &real.WSASendTo);
    replace_import("WSAIoctl", seen_ioctl, &real.WSAIoctl);
  }
}

void stop_watching(void) {
  watching = 0;
}
