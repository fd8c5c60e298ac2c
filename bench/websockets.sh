#!/usr/bin/env bash
# Resident memory of edge for each of 10,000 idle WebSockets through TLS, both of their connections counted. Where fewer
# descriptors may be open, as many as there are places for: two each, and some for the rest.
# shellcheck source=bench/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

runs=${RUNS:-3}
places=$((($(ulimit -Hn) - 1000) / 2))
count=${CONNECTIONS:-$((places < 10000 ? places : 10000))}
each=()

write_config
start_backend
write_backend_route ws

for _ in $(seq "$runs"); do
  start_edge
  # The first connections pay for tables and buffers that later ones share.
  hold ws.bench.localhost 50 websocket
  before=$(rss)
  hold ws.bench.localhost "$count" websocket
  after=$held_kib
  each+=("$(awk -v before="$before" -v after="$after" -v count="$count" 'BEGIN { printf "%.1f", (after - before) / count }')")
  stop_edge
done

header "resident memory"
row "each idle WebSocket through TLS, of $count" "$(median "${each[@]}") KiB" "40 KiB"
