# Three hosts, a, b, and c, on one wire: network namespaces of these names, with strongSwan in each.
# `on wire` is where they are seen from: all that passes between them passes the device of that name.
#
#   a  10.9.0.1  fd09::1  a.example     strongSwan at /run/a/charon.vici, and at /run/charon.vici
#   b  10.9.0.2  fd09::2  b.example     strongSwan at /run/b/charon.vici
#   c  10.9.0.3  fd09::3  c.example     strongSwan at /run/c/charon.vici
#
# /run/ca has ca.pem, the authority, and NAME.pem and NAME.key of every host; stranger.pem is another
# authority, and stranger-b.pem is what that one says of b. The group vici may speak to every strongSwan.

modprobe -a esp4 esp6 xfrm_user veth bridge drbg seqiv gcm ctr ghash-generic
# The first SA ever takes the algorithms' modules long enough to fail, so this one is for nothing.
ip xfrm state add src 127.0.0.1 dst 127.0.0.2 proto esp spi 0x100 mode transport \
  aead 'rfc4106(gcm(aes))' 0x0102030405060708090a0b0c0d0e0f1011121314 128
ip xfrm state flush

export PATH="$guest:$PATH"
cp -r "$RUN/identities" /run/ca
grep -q '^vici:' /etc/group || echo 'vici:x:4242:' >>/etc/group
ln -s a/charon.vici /run/charon.vici

ip link set lo up
ip link add wire type bridge
# It is to carry frames, not to take part.
echo 1 >/proc/sys/net/ipv6/conf/wire/disable_ipv6
ip link set wire up

number=0
for host in a b c; do
  number=$((number + 1))
  ip netns add $host
  ip -batch - <<END
link add wire-$host type veth peer name eth0 netns $host
link set wire-$host master wire up
END
  # Nobody else is on the wire who could have the address.
  ip -n $host -batch - <<END
link set lo up
link set eth0 up
address add 10.9.0.$number/24 dev eth0
address add fd09::$number/64 dev eth0 nodad
END
  echo "10.9.0.$number $host.example
fd09::$number $host.example" >>/etc/hosts
  charon start $host
done
for host in a b c; do charon wait $host || return 1; done
