# Runs the test files that nobody has taken yet, one after the other, each on hosts that know nothing of
# the one before. Lines that begin with @ are for scripts/strongswan.mjs.

echo @started
for note in "$RUN"/queue/*; do
  # Another guest may have been faster.
  mv "$note" "$RUN/taken/" 2>/dev/null || continue
  name=${note##*/}
  file=$(cat "$RUN/taken/$name")
  started=$(cut -d' ' -f1 /proc/uptime)
  # tap ends the file itself in time, and says where it was.
  TAP_TIMEOUT=$((SECONDS_PER_FILE - 10)) timeout -k 2 "$SECONDS_PER_FILE" \
    on a node $NODE_FLAGS "$file" >"$RUN/taken/$name.tap" 2>&1 </dev/null
  code=$?
  # Its output is complete now.
  ended=$(cut -d' ' -f1 /proc/uptime)
  echo "@ended $name $code $(echo "$started $ended" | awk '{ print $2 - $1 }')"
  # Unless this was the last.
  if [ "$(echo "$RUN"/queue/*)" != "$RUN/queue/*" ]; then charon renew; fi
done
