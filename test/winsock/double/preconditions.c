/*
 * What each function demands, in this order: a socket, its family and type, values, not connected, not
 * bound, once.
 */
#include "double.h"

#include <wchar.h>

static int family_and_type(const struct facts *facts) {
  if (facts->family != AF_INET && facts->family != AF_INET6) return WSAEAFNOSUPPORT;
  if (facts->type != SOCK_STREAM && facts->type != SOCK_DGRAM) return WSAEINVAL;
  return 0;
}

static int address_is_zero(const struct sockaddr *address) {
  static const IN6_ADDR none;
  return address->sa_family == AF_INET
             ? ((const SOCKADDR_IN *)address)->sin_addr.s_addr == 0
             : memcmp(&((const SOCKADDR_IN6 *)address)->sin6_addr, &none, sizeof none) == 0;
}

/* A peer's address for a datagram socket. */
static int check_peer(const struct facts *facts, const struct sockaddr *peer, int with_port) {
  if (peer->sa_family != AF_INET && peer->sa_family != AF_INET6) return WSAEAFNOSUPPORT;
  if (peer->sa_family != facts->family) return WSAEAFNOSUPPORT;
  if (address_is_zero(peer)) return WSAEINVAL;
  if (with_port && port_of(peer) == 0) return WSAEINVAL;
  return 0;
}

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

int check_set(SOCKET socket, const struct facts *facts, const SOCKET_SECURITY_SETTINGS *settings, ULONG length) {
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

int check_name(SOCKET socket, const struct facts *facts, const SOCKET_PEER_TARGET_NAME *name, ULONG length) {
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

int check_delete(const struct facts *facts, const struct sockaddr *peer, ULONG length) {
  int error = family_and_type(facts);
  if (error) return error;
  if (!peer) return WSAEFAULT;
  /* It "should not be called" for streams; no error is documented. */
  if (facts->type == SOCK_STREAM) return WSAEINVAL;
  if (length < sizeof(SOCKADDR_IN)) return WSAEMSGSIZE;
  if (peer->sa_family == AF_INET6 && length < sizeof(SOCKADDR_IN6)) return WSAEMSGSIZE;
  return check_peer(facts, peer, 0);
}

ULONG info_size(const SOCKET_SECURITY_QUERY_TEMPLATE *template) {
  return template && template->SecurityProtocol == SOCKET_SECURITY_PROTOCOL_IPSEC2
             ? sizeof(SOCKET_SECURITY_QUERY_INFO_IPSEC2)
             : sizeof(SOCKET_SECURITY_QUERY_INFO);
}

int check_query(const struct facts *facts, const SOCKET_SECURITY_QUERY_TEMPLATE *template,
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

int check_impersonate(const struct facts *facts, const struct sockaddr *peer, ULONG length) {
  int error = family_and_type(facts);
  if (error) return error;
  /* It is for established connections; no error is documented. */
  if (facts->type == SOCK_STREAM) return facts->connected ? 0 : WSAENOTCONN;
  if (!peer) return WSAEFAULT;
  if (length < sizeof(SOCKADDR_IN)) return WSAEMSGSIZE;
  if (peer->sa_family == AF_INET6 && length < sizeof(SOCKADDR_IN6)) return WSAEMSGSIZE;
  return check_peer(facts, peer, 1);
}
