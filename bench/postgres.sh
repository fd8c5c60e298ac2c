#!/usr/bin/env bash
# pgbench through edge beside haproxy in tcp mode and beside PostgreSQL's own TLS, in turn, in one run.
# Rounds with ROUNDS (5), seconds of each with SECONDS_EACH (5), clients with CLIENTS (16).
# shellcheck source=bench/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

rounds=${ROUNDS:-5} seconds=${SECONDS_EACH:-5} clients=${CLIENTS:-16}
tools=$root/target/tools
triple=$(gcc -dumpmachine)
export LD_LIBRARY_PATH=$tools/usr/lib/$triple:$tools/lib/$triple:$tools/usr/lib/$triple/blas:$tools/usr/lib/$triple/lapack
bin=$(find "$tools/usr/lib/postgresql" /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
haproxy=$(command -v haproxy || echo "$tools/usr/sbin/haproxy")
haproxy_pid=''
data=$work/data

# PostgreSQL does not run as root.
as_other() {
  if ((EUID == 0)); then setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; else "$@"; fi
}

clean_all() {
  [[ ! -f $data/postmaster.pid ]] || as_other "$bin/pg_ctl" -D "$data" -m immediate -s stop || true
  stop "$haproxy_pid"
  clean
}
trap clean_all EXIT

free_port() { "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

start_postgres() {
  chmod 755 "$work"
  mkdir "$data"
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=pg.bench.localhost -keyout "$data.key" -out "$data.crt" 2>/dev/null
  chmod 600 "$data.key"
  ((EUID != 0)) || chown 65534:65534 "$data" "$data.key" "$data.crt"
  as_other "$bin/initdb" -D "$data" -U bench -A trust -E UTF8 --locale=C >/dev/null
  pg_port=$(free_port)
  cat >>"$data/postgresql.conf" <<CONF
port = $pg_port
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
max_connections = 200
ssl = on
ssl_cert_file = '$data.crt'
ssl_key_file = '$data.key'
CONF
  as_other "$bin/pg_ctl" -D "$data" -l "$data/log" -w -s start
  "$bin/pgbench" -q -i -s 10 "host=127.0.0.1 port=$pg_port user=bench dbname=postgres" >/dev/null 2>&1
}

start_haproxy() {
  haproxy_port=$(free_port)
  cat >"$work/haproxy.cfg" <<CFG
global
  maxconn 2000
  nbthread 2
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen pg
  bind 127.0.0.1:$haproxy_port
  server one 127.0.0.1:$pg_port
CFG
  "$haproxy" -f "$work/haproxy.cfg" -db >"$work/haproxy.log" 2>&1 &
  haproxy_pid=$!
  until (exec 3<>"/dev/tcp/127.0.0.1/$haproxy_port") 2>/dev/null; do
    kill -0 "$haproxy_pid" || { cat "$work/haproxy.log" >&2; exit 1; }
    sleep 0.01
  done
}

configure() {
  write_config
  cat >>"$work/edge.toml" <<'TOML'

[entrypoint.postgres]
listen = "127.0.0.1:0"
protocol = "postgres"
TOML
  cat >"$work/routes/pg.toml" <<TOML
[[tcp]]
name = "passed"
host = "passed.bench.localhost"
entrypoint = "postgres"
tls = "passthrough"
upstream = "127.0.0.1:$pg_port"

[[tcp]]
name = "ended"
host = "ended.bench.localhost"
entrypoint = "postgres"
tls = { mode = "terminate", issuer = "internal" }
upstream = "127.0.0.1:$pg_port"
TOML
}

# tps <host> <port>: transactions per second of one round.
tps() {
  "$bin/pgbench" -S -n -c "$clients" -j 2 -T "$seconds" \
    "host=$1 hostaddr=127.0.0.1 port=$2 user=bench dbname=postgres sslmode=require" 2>>"$work/pgbench.log" |
    awk '/^tps/ { print $3 }'
}

start_postgres
start_haproxy
configure
start_edge
edge_port=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["entrypoints"]["postgres"][0].rsplit(":", 1)[1])' "$work/state/run.json")

direct=() through_haproxy=() passed=() ended=()
for ((round = 0; round < rounds; round++)); do
  direct+=("$(tps pg.bench.localhost "$pg_port")")
  through_haproxy+=("$(tps pg.bench.localhost "$haproxy_port")")
  passed+=("$(tps passed.bench.localhost "$edge_port")")
  ended+=("$(tps ended.bench.localhost "$edge_port")")
done

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f %%", 100 * a / b }'; }
a=$(median "${direct[@]}") b=$(median "${through_haproxy[@]}") c=$(median "${passed[@]}") d=$(median "${ended[@]}")
header "pgbench -S, $clients clients, TLS, $rounds rounds of $seconds s in turn"
row "PostgreSQL alone, its own TLS" "$a tps" ""
row "haproxy, tcp mode, TLS passed" "$b tps" ""
row "edge, TLS passed" "$c tps" ""
row "edge, TLS ended, server in clear" "$d tps" ""
row "edge passed / haproxy" "$(ratio "$c" "$b")" ">= 95 %"
row "edge ended / PostgreSQL alone" "$(ratio "$d" "$a")" ">= 90 %"
