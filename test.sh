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
command -v cargo-nextest >/dev/null 2>&1 || cargo install cargo-nextest --locked

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export TMPDIR=$scratch

# The journeys run the real binary: it is built first, with the same features.
cargo build --workspace --all-targets
exec_tests() { cargo nextest run --workspace "$@"; }
exec_tests "$@"
