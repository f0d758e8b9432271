# Sourced by ../run, after ../../interop/lib/prepare.bash: what only these suites need.

# prepare_pairs N: certificates of one authority, each with a key of its own, as renewing one makes them.
prepare_pairs() {
  export OPERATIONS_PAIRS=$1
  (
    cd "$tmp"
    for number in $(seq 0 $((OPERATIONS_PAIRS - 1))); do
      openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" \
        -keyout "pair-$number.key" -out "pair-$number.csr"
      openssl x509 -req -in "pair-$number.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
        -extfile leaf.ext -out "pair-$number.pem"
    done
  ) >"$tmp/openssl.log" 2>&1 || { cat "$tmp/openssl.log" >&2; die "openssl could not make certificates"; }
}

# Prometheus' own tool: the one that is there, or else Debian's, unpacked into the cache and not installed.
prepare_promtool() {
  local unpacked=$cache/prometheus
  PROMTOOL=${PROMTOOL:-$(command -v promtool || true)}
  if [ -z "$PROMTOOL" ]; then
    PROMTOOL=$unpacked/usr/bin/promtool
    if [ ! -x "$PROMTOOL" ] && command -v apt-get >/dev/null && command -v dpkg >/dev/null; then
      mkdir -p "$unpacked"
      (cd "$tmp" && { apt-get download prometheus || { apt-get update && apt-get download prometheus; }; } &&
        dpkg -x prometheus_*.deb "$unpacked") >"$tmp/apt.log" 2>&1 || cat "$tmp/apt.log" >&2
    fi
  fi
  # Where it cannot be had the suite says that it is skipped.
  [ -x "$PROMTOOL" ] && export PROMTOOL || unset PROMTOOL
}
