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

# hold <count> [after_ready]: opens them, reads the memory while they are idle, closes them.
hold() {
  coproc client { exec "$python" "$root/bench/idle.py" "$port" ws.bench.localhost "$1" websocket; }
  # The names go with the coprocess, so they are copied first.
  local in=${client[1]} out=${client[0]} pid=${client_PID:?} line
  read -r line <&"$out"
  [[ $line == ready ]]
  sleep 1
  [[ -z ${2:-} ]] || after=$(rss)
  exec {in}>&-
  wait "$pid" || true
}

for _ in $(seq "$runs"); do
  start_edge
  # The first connections pay for tables and buffers that later ones share.
  hold 50
  before=$(rss)
  hold "$count" after_ready
  each+=("$(awk -v before="$before" -v after="${after:?}" -v count="$count" 'BEGIN { printf "%.1f", (after - before) / count }')")
  stop_edge
done

header "resident memory"
row "each idle WebSocket through TLS, of $count" "$(median "${each[@]}") KiB" "40 KiB"
