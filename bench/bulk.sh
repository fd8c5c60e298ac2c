#!/usr/bin/env bash
# 10 GiB up and 10 GiB down through TLS: how fast, and how far resident memory grows meanwhile. BYTES and RUNS are for
# shorter and for repeated runs.
# shellcheck source=bench/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

runs=${RUNS:-1}
size=${BYTES:-$((10 * 1024 * 1024 * 1024))}

write_config
mkdir -p "$work/routes"
start_backend
write_backend_route bulk
start_edge
host=bulk.bench.localhost

up() { head -c "$1" /dev/zero | get "$host" / --http"$2" -T - -o /dev/null; }
down() { get "$host" "/$1" --http"$2" -o /dev/null; }

# The highest memory while the command runs, less the memory before it: growth_kib; and its time: took.
watched() {
  local before peak=0 now_kib began pid
  before=$(rss)
  began=$(now)
  "$@" &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    now_kib=$(rss)
    if ((now_kib > peak)); then peak=$now_kib; fi
    sleep 0.05
  done
  wait "$pid"
  took=$(($(now) - began))
  growth_kib=$((peak > before ? peak - before : 0))
}

header "$((size / 1024 / 1024)) MiB through TLS"
for version in 1.1 2; do
  for way in up down; do
    "$way" $((32 * 1024 * 1024)) "$version" # buffers that every transfer needs
    growths=() speeds=()
    for _ in $(seq "$runs"); do
      watched "$way" "$size" "$version"
      growths+=("$growth_kib")
      speeds+=($((size * 1000 / took / 1024 / 1024)))
    done
    row "$way over HTTP/$version: memory growth" "$(awk -v kib="$(median "${growths[@]}")" 'BEGIN { printf "%.1f", kib / 1024 }') MiB" "8 MiB"
    row "$way over HTTP/$version: speed" "$(median "${speeds[@]}") MiB/s" "-"
  done
done
