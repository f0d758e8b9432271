# What suites with real programs need before they run: packages, a browser, the gateway, certificates; and that whatever
# was started ends with them. Sourced by tests/interop/run and tests/apps/run, which have set `here` and `cache`.

# The last line is the same whatever goes wrong, so that a caller needs to read only that one.
die() {
  echo "FAIL setup: $1"
  echo "0 passed, 1 failed"
  exit 1
}

for tool in node npm openssl flock sha256sum timeout; do
  command -v "$tool" >/dev/null || die "$tool is not installed"
done
node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' || die "Node 20 or newer is needed, this is $(node -v)"

# ---- everything started here ends here -------------------------------------------------------------------------
tmp=$(mktemp -d)
export INTEROP_TMP=$tmp
checks=
cleanup() {
  set +e
  trap - EXIT INT TERM HUP
  if [ -n "$checks" ]; then
    # The checks lead a process group of their own, made by this shell: whatever a crash left behind is in it. They
    # are asked first, because the browser is in a group of its own that only they know.
    kill -TERM -- "-$checks" 2>/dev/null && wait "$checks"
    kill -KILL -- "-$checks" 2>/dev/null
  fi
  rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- packages, pinned, installed once for each content of the lock files ------------------------------------
digest() { cat "$@" | sha256sum | cut -c1-16; }

install_once() { # DIR COMMAND…: runs COMMAND in DIR unless an earlier run finished it; concurrent runs take turns
  local dir=$1
  shift
  mkdir -p "$dir"
  (
    flock 9
    [ -e "$dir/.complete" ] && exit 0
    (cd "$dir" && timeout 300 "$@") >"$tmp/install.log" 2>&1 || { tail -n 20 "$tmp/install.log" >&2; exit 1; }
    touch "$dir/.complete"
  ) 9>"$dir/.lock"
}

npm_packages() { cp "$here"/{package.json,package-lock.json,.npmrc} . && npm ci --ignore-scripts; }
pip_packages() { python3 -m venv venv && venv/bin/python -m pip install --disable-pip-version-check -r "$here/requirements.txt"; }
export -f npm_packages pip_packages
export here

prepare_node() {
  export INTEROP_NODE_DEPS=$cache/node-$(digest "$here/package.json" "$here/package-lock.json")
  install_once "$INTEROP_NODE_DEPS" bash -ec npm_packages || die "npm could not install package-lock.json"
}

prepare_python() {
  local dir
  command -v python3 >/dev/null || die "python3 is not installed"
  dir=$cache/python-$({ python3 -VV; cat "$here/requirements.txt"; } | sha256sum | cut -c1-16)
  install_once "$dir" bash -ec pip_packages || die "pip could not install requirements.txt (python3-venv is needed)"
  export INTEROP_PYTHON=$dir/venv/bin/python
}

prepare_chromium() {
  if ! command -v chromium >/dev/null; then
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || die "chromium is not installed: apt-get install chromium"
    echo "# installing chromium" >&2
    apt_get() { timeout 900 apt-get -o DPkg::Lock::Timeout=600 "$@" >"$tmp/apt.log" 2>&1; }
    export DEBIAN_FRONTEND=noninteractive
    { apt_get update && apt_get install -y --no-install-recommends chromium; } || { tail -n 20 "$tmp/apt.log" >&2; die "apt-get could not install chromium"; }
  fi
  INTEROP_CHROMIUM=$(command -v chromium)
  export INTEROP_CHROMIUM
}

prepare_gateway() {
  export FRAMEGATE_BIN=${FRAMEGATE_BIN:-${CARGO_TARGET_DIR:-$here/../../target}/release/framegate}
  [ -x "$FRAMEGATE_BIN" ] || die "no gateway at $FRAMEGATE_BIN: cargo build --release, or set FRAMEGATE_BIN"
}

# ---- a certificate authority that lives as long as this run --------------------------------------------------
make_certificates() {
  cd "$tmp"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=framegate interop CA" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca.key -out ca.pem
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" -keyout leaf.key -out leaf.csr
  cat >leaf.ext <<'EXT'
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost,IP:127.0.0.1
authorityKeyIdentifier = keyid
EXT
  openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile leaf.ext -out leaf.pem
}

prepare_certificates() {
  (make_certificates) >"$tmp/openssl.log" 2>&1 || { cat "$tmp/openssl.log" >&2; die "openssl could not make certificates"; }
}

# ---- the checks -------------------------------------------------------------------------------------------------

# run_checks SECONDS SUITE…: they give up by themselves; SECONDS are for the case that they cannot.
run_checks() {
  local seconds=$1 status=0
  shift
  set -m # a background job gets its own process group, see cleanup
  timeout -k 5 "$seconds" node "$here/main.mjs" "$@" &
  checks=$!
  set +m
  wait "$checks" || status=$?
  exit "$status"
}
