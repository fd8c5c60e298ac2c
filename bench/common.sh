#!/usr/bin/env bash
# What the benchmarks share: a folder of their own, edge in it, figures in a table. Sourced, never run.
# A benchmark is no test: it prints the goal beside the figure and ends with 0 even if the goal is missed.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
edge=${EDGE:-${CARGO_TARGET_DIR:-$root/target}/release/edge}
work=$(mktemp -d)
edge_pid='' backend_pid='' backend_port=''
python=python3
[[ ! -x /usr/bin/python3 ]] || python=/usr/bin/python3

[[ -x $edge ]] || {
  echo "error: $edge is missing; ./dev bench builds it" >&2
  exit 1
}
ulimit -n "$(ulimit -Hn)"
unset EDGE_STATE

stop() {
  local pid
  for pid in "$@"; do
    [[ -n $pid ]] || continue
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
}

clean() {
  stop "$edge_pid" "$backend_pid"
  rm -rf "$work"
}
trap clean EXIT

# Milliseconds since some moment.
now() { echo $(($(date +%s%N) / 1000000)); }

# edge.toml with one https entrypoint; limits for a single client are off, since one machine plays all clients.
write_config() {
  mkdir -p "$work/routes"
  cat >"$work/edge.toml" <<TOML
routes = "routes"
state = "state"

[entrypoint.https]
listen = ["127.0.0.1:0"]
tls = true

[limits]
client_connections = 0
client_handshakes_per_second = 0
keepalive_requests = 0

[admin]
listen = "127.0.0.1:0"

[log]
access = "off"
TOML
}

# write_routes <hosts> <paths> <issuer> [<files>]: hosts x paths routes, each answered by edge itself.
write_routes() {
  awk -v hosts="$1" -v paths="$2" -v issuer="$3" -v files="${4:-100}" -v dir="$work/routes" 'BEGIN {
    for (h = 0; h < hosts; h++) {
      file = sprintf("%s/routes-%03d.toml", dir, h % files)
      for (p = 0; p < paths; p++) {
        printf "[[route]]\nname = \"r%d-%d\"\nhost = \"h%d.bench.localhost\"\npath = \"/p%d/\"\n", h, p, h, p > file
        printf "respond = { status = 200, body = \"%d\" }\ntls = { issuer = \"%s\" }\n\n", p, issuer > file
      }
    }
  }'
}

# write_backend_route <name>: https://<name>.bench.localhost goes to the backend.
write_backend_route() {
  cat >"$work/routes/$1.toml" <<TOML
[[route]]
name = "$1"
host = "$1.bench.localhost"
upstream = "http://127.0.0.1:$backend_port"
tls = { issuer = "internal" }
TOML
}

start_backend() {
  "$python" "$root/bench/backend.py" >"$work/backend.port" &
  backend_pid=$!
  until [[ -s $work/backend.port ]]; do sleep 0.01; done
  backend_port=$(<"$work/backend.port")
}

# Starts edge and returns once it serves; took_ms is how long that was.
# shellcheck disable=SC2034  # start.sh reads it
start_edge() {
  local began
  rm -f "$work/state/run.json"
  began=$(now)
  "$edge" run --config "$work/edge.toml" >"$work/log" 2>&1 &
  edge_pid=$!
  until [[ -s $work/state/run.json ]]; do
    kill -0 "$edge_pid" 2>/dev/null || {
      echo "error: edge ended at its start; its last lines:" >&2
      tail -n 20 "$work/log" >&2
      exit 1
    }
    sleep 0.002
  done
  took_ms=$(($(now) - began))
  port=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["entrypoints"]["https"][0].rsplit(":", 1)[1])' "$work/state/run.json")
}

stop_edge() {
  stop "$edge_pid"
  edge_pid=''
}

# get <host> <path> [curl arguments]: through the https entrypoint, failing unless the answer is a 2xx.
get() {
  local host=$1 path=$2
  shift 2
  curl -qsS --fail --insecure --noproxy '*' --resolve "$host:$port:127.0.0.1" "$@" "https://$host:$port$path"
}

# Resident memory of edge in KiB.
rss() { awk '/^VmRSS:/ { print $2 }' "/proc/$edge_pid/status"; }

# hold <host> <count> [websocket]: opens idle connections through edge, reads its memory meanwhile (held_kib), closes them.
# shellcheck disable=SC2034  # memory.sh and websockets.sh read it
hold() {
  coproc client { exec "$python" "$root/bench/idle.py" "$port" "$@"; }
  # The names go with the coprocess, so they are copied first.
  local in=${client[1]} out=${client[0]} pid=${client_PID:?} line
  read -r line <&"$out"
  [[ $line == ready ]]
  sleep 1
  held_kib=$(rss)
  exec {in}>&-
  wait "$pid" || true
}

# median <number..>
median() { printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

row() { printf '%-58s %14s   %s\n' "$1" "$2" "$3"; }

header() { row "$1" "median" "goal"; }
