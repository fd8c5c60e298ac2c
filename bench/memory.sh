#!/usr/bin/env bash
# Resident memory: with 100 routes and nobody there, and what each of 2,000 idle TLS connections adds.
# shellcheck source=bench/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

runs=${RUNS:-3}
count=${CONNECTIONS:-2000}
idle=() each=()

write_config
write_routes 100 1 internal 10

measure() {
  local before after
  start_edge
  sleep 2
  idle+=("$(rss)")
  # The first connections pay for tables and buffers that later ones share.
  hold h0.bench.localhost 50
  before=$(rss)
  hold h0.bench.localhost "$count"
  after=$held_kib
  each+=("$(awk -v before="$before" -v after="$after" -v count="$count" 'BEGIN { printf "%.1f", (after - before) / count }')")
  stop_edge
}

for _ in $(seq "$runs"); do measure; done

header "resident memory"
row "100 routes, idle" "$(awk -v kib="$(median "${idle[@]}")" 'BEGIN { printf "%.1f", kib / 1024 }') MiB" "25 MiB"
row "each idle TLS connection, of $count" "$(median "${each[@]}") KiB" "20 KiB"
