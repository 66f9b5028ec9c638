#!/bin/sh
# Writes the secrets of a new cluster to standard output, in the form that compose reads from `.env`.
# Run it once: another master key cannot open what was sealed under the first.
set -eu
umask 077

secret() { # secret BYTES: so many random bytes as hex digits
    od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'
}

printf 'MASTER_KEY=%s\n' "$(secret 32)"
printf 'INTERNAL_TOKEN=%s\n' "$(secret 32)"
printf 'POSTGRES_PASSWORD=%s\n' "$(secret 24)"
# NATS reads what begins with a digit as a number.
printf 'NATS_PASSWORD=n%s\n' "$(secret 24)"
