#!/bin/sh
# Installs the Bot API that the connector's tests run against.
set -eu
cd "$(dirname "$0")/telegram-test-api"
npm ci --no-audit --no-fund
