#!/usr/bin/env bash
# Server-Sent Events: how much later each event arrives through edge (TLS) than straight from the server, in one run.
# shellcheck source=bench/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

write_config
start_backend
write_backend_route events
start_edge

header "${EVENTS:-2000} events, 2 ms apart"
"$python" "$root/bench/events.py" "$port" events.bench.localhost "$backend_port" "${EVENTS:-2000}" |
  while read -r what value goal; do row "${what//_/ }" "$value ms" "$goal"; done
