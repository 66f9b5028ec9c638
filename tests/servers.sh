#!/usr/bin/env bash
# Starts and stops the servers that tests need: PostgreSQL and NATS, on free ports of 127.0.0.1, with everything in one folder.
#
#   eval "$(tests/servers.sh start FOLDER)"    starts both, and prints the variables by which tests find them
#   tests/servers.sh stop FOLDER               stops both; the folder stays
#
# PostgreSQL refuses to run as root: there it runs as the user `postgres`, which has to be able to reach the folder.
set -euo pipefail

usage() {
    echo "usage: tests/servers.sh start|stop FOLDER" >&2
    exit 2
}

# What a free port is now may be taken by the time somebody listens on it: whoever uses this tries again.
port_for_now() {
    local port
    while port=$((20000 + RANDOM % 40000)); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

postgres_programs() {
    local found
    found=$(find /usr/lib/postgresql -maxdepth 2 -name bin -type d 2>/dev/null | sort -V | tail -n 1)
    if [ -z "$found" ] && command -v pg_ctl >/dev/null 2>&1; then
        found=$(dirname "$(command -v pg_ctl)")
    fi
    if [ -z "$found" ]; then
        echo "tests/servers.sh: PostgreSQL is needed; ./test.sh installs it" >&2
        exit 1
    fi
    echo "$found"
}

as_postgres() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"
    else
        "$@"
    fi
}

start_postgres() { # start_postgres FOLDER: sets `port`
    local folder=$1 programs data
    programs=$(postgres_programs)
    data=$folder/postgres/data
    mkdir -p "$folder/postgres"
    if [ "$(id -u)" = 0 ]; then
        chown postgres: "$folder/postgres"
        if ! as_postgres test -x "$folder/postgres"; then
            echo "tests/servers.sh: the user postgres cannot reach $folder" >&2
            exit 1
        fi
    fi
    if [ ! -f "$data/PG_VERSION" ]; then
        (cd "$folder/postgres" && as_postgres "$programs/initdb" --pgdata="$data" --username=postgres --auth=trust \
            --encoding=UTF8 --locale=C.UTF-8 --no-instructions >"$folder/postgres/initdb.log")
    fi
    # Sockets in the file system are left out: their paths may be no longer than 107 bytes.
    cat >"$folder/postgres/settings" <<SETTINGS
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 300
fsync = on
synchronous_commit = on
log_min_messages = warning
SETTINGS
    for _ in 1 2 3 4 5; do
        port=$(port_for_now)
        as_postgres cp "$folder/postgres/settings" "$data/postgresql.auto.conf"
        if (cd "$folder/postgres" && as_postgres "$programs/pg_ctl" start --wait --timeout=120 --silent --pgdata="$data" \
            --log="$folder/postgres/log" --options="-p $port" >&2); then
            return
        fi
    done
    echo "tests/servers.sh: PostgreSQL did not start:" >&2
    tail -n 20 "$folder/postgres/log" >&2
    exit 1
}

start_nats() { # start_nats FOLDER: sets `port`
    local folder=$1/nats pid
    command -v nats-server >/dev/null 2>&1 || {
        echo "tests/servers.sh: nats-server is needed; ./test.sh installs it" >&2
        exit 1
    }
    mkdir -p "$folder"
    rm -f "$folder"/*.ports
    # The port -1 is a free one, which the server writes down.
    nats-server -a 127.0.0.1 -p -1 --pid "$folder/pid" --ports_file_dir "$folder" --log "$folder/log" \
        </dev/null >/dev/null 2>&1 &
    pid=$!
    port=
    until [ -n "$port" ]; do
        if ! kill -0 "$pid" 2>/dev/null; then
            echo "tests/servers.sh: nats-server did not start:" >&2
            tail -n 20 "$folder/log" >&2
            exit 1
        fi
        port=$(sed -n 's/.*nats:\/\/127\.0\.0\.1:\([0-9]*\).*/\1/p' "$folder"/*.ports 2>/dev/null || true)
        sleep 0.05
    done
    disown "$pid"
}

start() {
    local folder port
    mkdir -p "$1"
    folder=$(cd "$1" && pwd)
    start_postgres "$folder"
    echo "export TRUNKLINE_TEST_POSTGRES=postgres://postgres@127.0.0.1:$port/postgres"
    start_nats "$folder"
    echo "export TRUNKLINE_TEST_NATS=nats://127.0.0.1:$port"
}

stop_process() { # stop_process PID SIGNAL…: ends a process by the first signal, and by the next ones if it does not end
    local pid=$1 signal
    shift
    for signal in "$@"; do
        kill -s "$signal" "$pid" 2>/dev/null || return 0
        for _ in $(seq 200); do
            kill -0 "$pid" 2>/dev/null || return 0
            sleep 0.05
        done
    done
}

stop() {
    local folder=$1
    # INT is PostgreSQL's fast shutdown, QUIT its immediate one.
    if [ -f "$folder/postgres/data/postmaster.pid" ]; then
        stop_process "$(head -n 1 "$folder/postgres/data/postmaster.pid")" INT QUIT
    fi
    if [ -f "$folder/nats/pid" ]; then
        stop_process "$(cat "$folder/nats/pid")" TERM KILL
    fi
}

[ $# = 2 ] || usage
case $1 in
start) start "$2" ;;
stop) stop "$2" ;;
*) usage ;;
esac
