#!/usr/bin/env bash
# Runs every test. Installs what is missing and starts, on free ports and in a temporary folder, the servers that tests need;
# stops them at the end. Takes the arguments of `cargo nextest run` to pick tests, e.g. ./test.sh -E 'package(store)'.
set -euo pipefail
cd "$(dirname "$0")"

need() { # need PROGRAM PACKAGE…: installs Debian packages for a program that is not there
    local program=$1
    shift
    command -v "$program" >/dev/null 2>&1 && return
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "test.sh: $program is needed; install $* by hand" >&2
        exit 1
    fi
    echo "test.sh: installing $*" >&2
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

need cc gcc libc6-dev
need promtool prometheus
need curl curl
need openssl openssl
need nats-server nats-server
need sqlite3 sqlite3
command -v pg_ctl >/dev/null 2>&1 || [ -n "$(find /usr/lib/postgresql -name pg_ctl 2>/dev/null)" ] || need pg_ctl postgresql
command -v cargo-nextest >/dev/null 2>&1 || cargo install cargo-nextest --locked

scratch=$(mktemp -d)
end() {
    tests/servers.sh stop "$scratch/servers" || true
    rm -rf "$scratch"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# The user that PostgreSQL runs as must be able to pass through.
chmod 711 "$scratch"
export TMPDIR=$scratch
servers=$(tests/servers.sh start "$scratch/servers")
eval "$servers"

# The journeys run the real binary: it is built first, with the same features.
cargo build --workspace --all-targets
cargo nextest run --workspace "$@"

# The same journeys again, on PostgreSQL. Those about the embedded database's own files say so in their names.
if [ $# -eq 0 ]; then
    TRUNKLINE_TEST_STORE=postgres cargo nextest run --workspace \
        -E 'binary(it) and not test(embedded) and not test(/^cluster::/)'
fi
