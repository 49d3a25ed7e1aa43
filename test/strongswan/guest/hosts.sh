# Three hosts, a, b, and c, on one wire: network namespaces of these names, with strongSwan in each.
# `wire` in the namespace that they are seen from sees all that passes between them.
#
#   a  10.9.0.1  fd09::1  a.example     strongSwan at /run/a/charon.vici
#   b  10.9.0.2  fd09::2  b.example
#   c  10.9.0.3  fd09::3  c.example
#
# /run/ca has the authority's certificate and, of every host, NAME.pem and NAME.key; `stranger` is another
# authority, and stranger-b.pem is what it says of b. `on HOST COMMAND…` runs a command on a host.

modprobe -a esp4 esp6 xfrm_user veth bridge drbg seqiv gcm ctr ghash-generic
# The first SA ever takes the algorithms' modules long enough to fail, so this one is for nothing.
ip xfrm state add src 127.0.0.1 dst 127.0.0.2 proto esp spi 0x100 mode transport \
  aead 'rfc4106(gcm(aes))' 0x0102030405060708090a0b0c0d0e0f1011121314 128
ip xfrm state flush

cp -r "$JOB/identities" /run/ca
export PATH="$guest:$PATH"
ip link set lo up
ip link add wire type bridge
# It is to carry frames, not to take part.
echo 1 >/proc/sys/net/ipv6/conf/wire/disable_ipv6
ip link set wire up

number=0
for host in a b c; do
  number=$((number + 1))
  ip netns add $host
  ip link add wire-$host type veth peer name eth0 netns $host
  ip link set wire-$host master wire up
  ip -n $host link set lo up
  ip -n $host link set eth0 up
  ip -n $host address add 10.9.0.$number/24 dev eth0
  ip -n $host address add fd09::$number/64 dev eth0 nodad
  echo "10.9.0.$number $host.example
fd09::$number $host.example" >>/etc/hosts
  "$guest/charon" start $host
done
for host in a b c; do "$guest/charon" wait $host; done
