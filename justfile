# One entry for every command; `just` alone lists them.

default:
    @just --list

# Format and lints, as CI runs them.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Tests by filter, e.g. `just test 'package(store)'`; all without one.
test filter='all()':
    cargo nextest run --workspace -E '{{filter}}'

# Everything, with the servers that tests need.
test-all:
    ./test.sh

# The engine, as users start it.
run *args:
    cargo run --release -- {{args}}

# The load benchmark; see benches/README.md.
bench *args:
    cargo build --release --workspace
    ./target/release/bench {{args}}

# Looks at changed snapshots.
review:
    cargo insta review --workspace

# What CI runs.
ci:
    ./.ci/run
