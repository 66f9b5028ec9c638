#!/bin/sh
# Installs what the connector needs, and runs its tests: alone, and with the engine itself.
#
# TRUNKLINE_BIN has to name the program `trunkline`.
set -eu
cd "$(dirname "$0")"
: "${TRUNKLINE_BIN:?has to name the program trunkline}"
case "$TRUNKLINE_BIN" in /*) ;; *) echo "TRUNKLINE_BIN: expected an absolute path" >&2; exit 2 ;; esac
npm ci --omit=optional --omit=peer --no-audit --no-fund
npm run types
npm test
npm run test:engine
