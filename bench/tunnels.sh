#!/usr/bin/env bash
# Raw TCP through edge beside haproxy in tcp mode: CPU for a gigabyte, and memory of idle sessions.
# Bytes with BYTES (1 GiB), rounds with RUNS (5), sessions with SESSIONS (5000).
# shellcheck source=bench/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

bytes=${BYTES:-1073741824} runs=${RUNS:-5} sessions=${SESSIONS:-5000}
haproxy=$(command -v haproxy || echo "$root/target/tools/usr/sbin/haproxy")
triple=$(gcc -dumpmachine)
export LD_LIBRARY_PATH=$root/target/tools/usr/lib/$triple:$root/target/tools/lib/$triple
haproxy_pid=''
clean_all() {
  stop "$haproxy_pid"
  clean
}
trap clean_all EXIT

"$python" "$root/bench/tunnels.py" serve >"$work/backend.port" &
backend_pid=$!
until [[ -s $work/backend.port ]]; do sleep 0.01; done
backend_port=$(<"$work/backend.port")

haproxy_port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/haproxy.cfg" <<CFG
global
  maxconn 2000
  nbthread 2
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen raw
  bind 127.0.0.1:$haproxy_port
  server one 127.0.0.1:$backend_port
CFG
"$haproxy" -f "$work/haproxy.cfg" -db >"$work/haproxy.log" 2>&1 &
haproxy_pid=$!
until (exec 3<>"/dev/tcp/127.0.0.1/$haproxy_port") 2>/dev/null; do
  kill -0 "$haproxy_pid" || { cat "$work/haproxy.log" >&2; exit 1; }
  sleep 0.01
done

write_config
cat >>"$work/edge.toml" <<'TOML'

[entrypoint.raw]
listen = "127.0.0.1:0"
protocol = "tcp"
TOML
cat >"$work/routes/raw.toml" <<TOML
[[tcp]]
name = "raw"
entrypoint = "raw"
upstream = "127.0.0.1:$backend_port"
TOML
start_edge
edge_port=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["entrypoints"]["raw"][0].rsplit(":", 1)[1])' "$work/state/run.json")

# cpu <pid>: seconds of user and system time so far.
cpu() { awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) / hz }' "/proc/$1/stat"; }

# spent <pid> <port>: CPU seconds of that process for the bytes once down.
spent() {
  local before
  before=$(cpu "$1")
  "$python" "$root/bench/tunnels.py" take "$2" "$bytes"
  awk -v a="$before" -v b="$(cpu "$1")" 'BEGIN { printf "%.3f\n", b - a }'
}

of_edge=() of_haproxy=()
for ((run = 0; run < runs; run++)); do
  of_haproxy+=("$(spent "$haproxy_pid" "$haproxy_port")")
  of_edge+=("$(spent "$edge_pid" "$edge_port")")
done
a=$(median "${of_edge[@]}") b=$(median "${of_haproxy[@]}")
header "raw tunnels, $runs runs in turn"
row "CPU of haproxy for $((bytes >> 20)) MiB" "$b s" ""
row "CPU of edge for $((bytes >> 20)) MiB" "$a s" ""
row "edge / haproxy" "$(awk -v a="$a" -v b="$b" 'BEGIN { printf "%.0f %%", 100 * a / b }')" "<= 100 %"

before=$(rss)
coproc idle { exec "$python" "$root/bench/tunnels.py" hold "$edge_port" "$sessions"; }
in=${idle[1]} out=${idle[0]} pid=${idle_PID:?}
read -r line <&"$out"
[[ $line == ready ]]
sleep 1
held=$(rss)
exec {in}>&-
wait "$pid" || true
row "memory of one of $sessions idle sessions" "$(awk -v a="$before" -v b="$held" -v n="$sessions" 'BEGIN { printf "%.1f KiB", (b - a) / n }')" "<= 12 KiB"
