#!/usr/bin/env bash
# UDP through a relay beside bare loops of the same calls: datagrams per second of one core. It needs no edge that runs.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec cargo bench --locked --quiet -p edge --bench udp
