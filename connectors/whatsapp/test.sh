#!/usr/bin/env bash
# Builds and tests this connector, which takes minutes and gigabytes, if it is not what was tested last.
#   test.sh            tests it if its sources or those of crates/gateway differ from what `tested` names; says which it does
#   test.sh --always   tests it whatever `tested` says
#   test.sh --stamp    tests it, and writes what was tested into `tested`
# TRUNKLINE_BIN names the engine to test with.
set -euo pipefail
cd "$(dirname "$0")"

# What decides: every file that git knows of, but the stamp itself.
sources() {
    git -C ../.. ls-files -z connectors/whatsapp crates/gateway |
        (cd ../.. && grep -zv '^connectors/whatsapp/tested$' | xargs -0 sha256sum) | sha256sum | cut -d' ' -f1
}

mode=${1:-}
now=$(sources)
if [ -z "$mode" ] && [ "$(cat tested 2>/dev/null)" = "$now" ]; then
    echo "connectors/whatsapp: not built: neither it nor crates/gateway has changed since it was tested last"
    exit 0
fi
echo "connectors/whatsapp: built and tested: it or crates/gateway has changed since it was tested last"
cargo fmt --check
cargo clippy --locked --all-targets -- -D warnings
cargo test --locked
if [ "$mode" = --stamp ]; then
    printf '%s\n' "$now" >tested
fi
