#!/usr/bin/env bash
# Builds and tests this connector, which takes ten minutes and gigabytes the first time, if it is not what was tested last.
#   test.sh            tests it if what it is made of differs from what `tested` names; says which it does
#   test.sh --always   tests it whatever `tested` says
#   test.sh --stamp    tests it, and writes what was tested into `tested`, to be committed with it
# TRUNKLINE_BIN has to name the program `trunkline`, if something is tested.
set -euo pipefail
cd "$(dirname "$0")"

# What it is made of beside crates from elsewhere, whose versions stand in its Cargo.lock: itself, its client of the engine, the words
# that the two share, and what says how those are built. Files count by what is in them, whenever they were written, and only if git
# knows of them.
made_of=(
    Cargo.toml connectors/whatsapp crates/gateway crates/domain/Cargo.toml
    crates/domain/src/{lib,device,event,fence,ids,json,mistakes,position,time}.rs crates/domain/src/device
    ':!connectors/whatsapp/tested' ':!*.md'
)

sources() {
    (cd ../.. && git ls-files -z -- "${made_of[@]}" | LC_ALL=C sort -z | xargs -0 sha256sum) | sha256sum | cut -d' ' -f1
}

mode=${1:-}
case $mode in "" | --always | --stamp) ;; *) sed -n '2,6s/^# //p' test.sh >&2 && exit 2 ;; esac
now=$(sources)
before=$(cat tested 2>/dev/null || echo nothing)
if [ "$before" = "$now" ]; then
    if [ -z "$mode" ]; then
        echo "connectors/whatsapp: not built: nothing that it is made of has changed since it was tested last (${now:0:12})"
        exit 0
    fi
    echo "connectors/whatsapp: built and tested, though nothing has changed since it was tested last (${now:0:12})"
else
    echo "connectors/whatsapp: built and tested: it is not what was tested last (${now:0:12}, not ${before:0:12})"
fi
: "${TRUNKLINE_BIN:?has to name the program trunkline}"
case $TRUNKLINE_BIN in /*) ;; *) echo "TRUNKLINE_BIN: expected an absolute path" >&2 && exit 2 ;; esac
command -v cargo-nextest >/dev/null 2>&1 || cargo install cargo-nextest --locked
# Its own folder, also if the caller has another: the same libraries are built with other features here.
export CARGO_TARGET_DIR=$PWD/target
cargo fmt --check
cargo clippy --locked --all-targets -- -D warnings
cargo nextest run --locked
if [ "$mode" = --stamp ]; then
    if [ "$now" != "$(sources)" ]; then
        echo "connectors/whatsapp: a file has changed while it was tested: not stamped" >&2
        exit 1
    fi
    printf '%s\n' "$now" >tested
fi
