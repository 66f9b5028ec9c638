#!/usr/bin/env bash
# Runs every test. Installs what is missing and starts, on free ports and in a temporary folder, the servers that tests need;
# stops them at the end. Takes the arguments of `cargo nextest run` to pick tests, e.g. ./test.sh -E 'package(store)'.
set -euo pipefail
cd "$(dirname "$0")"

need() { # need PROGRAM PACKAGE…: installs Debian packages for a program that is not there
    local program=$1
    shift
    command -v "$program" >/dev/null 2>&1 || install_packages "$@"
}

install_packages() {
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "test.sh: install $* by hand" >&2
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
need mosquitto_pub mosquitto-clients
need python3 python3
command -v pg_ctl >/dev/null 2>&1 || [ -n "$(find /usr/lib/postgresql -name pg_ctl 2>/dev/null)" ] || need pg_ctl postgresql
command -v cargo-nextest >/dev/null 2>&1 || cargo install cargo-nextest --locked

# Clients in other languages, which tests drive. A folder that is complete carries a mark with what is in it.
python_clients="paho-mqtt==2.2.0 websockets==17.4"
python_folder=$PWD/target/test-python
if [ "$(cat "$python_folder/complete" 2>/dev/null)" != "$python_clients" ]; then
    rm -rf "$python_folder"
    if ! python3 -m venv "$python_folder" >/dev/null; then
        install_packages python3-venv
        python3 -m venv "$python_folder"
    fi
    # shellcheck disable=SC2086 # one word a package
    "$python_folder/bin/pip" install --quiet --disable-pip-version-check $python_clients
    printf '%s\n' "$python_clients" >"$python_folder/complete"
fi
export TRUNKLINE_TEST_PYTHON=$python_folder/bin/python

# Connectors in Node want a newer one than Debian 12 has.
node_is_new() {
    command -v npm >/dev/null 2>&1 && node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null
}
if ! node_is_new; then
    need npm npm
    npm install --silent --no-save --prefix "$PWD/target/test-node" node@20
    export PATH=$PWD/target/test-node/node_modules/.bin:$PATH
fi
connectors/telegram/tests/install.sh

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

# Connectors that are programs of their own, against the engine that was built.
if [ $# -eq 0 ]; then
    export TRUNKLINE_BIN=${CARGO_TARGET_DIR:-$PWD/target}/debug/trunkline
    connectors/baileys/test.sh
    connectors/whatsapp/test.sh
fi

# The same journeys again, on PostgreSQL. Those about the embedded database's own files say so in their names.
if [ $# -eq 0 ]; then
    TRUNKLINE_TEST_STORE=postgres cargo nextest run --workspace \
        -E 'binary(it) and not test(embedded) and not test(/^cluster::/)'
fi
