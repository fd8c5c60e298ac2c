#!/usr/bin/env bash
# From nothing to serving, with 10,000 routes on 1,000 hosts, each host with its certificate.
# shellcheck source=bench/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

runs=${RUNS:-7}

measure() {
  local all=()
  for _ in $(seq "$runs"); do
    start_edge
    get h0.bench.localhost /p0/ >/dev/null
    get h999.bench.localhost /p9/ >/dev/null
    all+=("$took_ms")
    stop_edge
  done
  row "$1" "$(median "${all[@]}") ms" "$2"
}

header "start to serving, 10,000 routes, 1,000 certificates"

write_config
write_routes 1000 10 internal
start_edge
row "local CA, first start: certificates are made" "$took_ms ms" "-"
stop_edge
measure "local CA, certificates on disk" "1000 ms"

rm -rf "$work/state" "$work/routes"
write_config
write_routes 1000 10 files
mkdir "$work/tls"
openssl ecparam -name prime256v1 -genkey -noout -out "$work/tls/key.pem"
for ((host = 0; host < 1000; host++)); do
  openssl req -x509 -key "$work/tls/key.pem" -days 30 -subj "/CN=h$host" \
    -addext "subjectAltName=DNS:h$host.bench.localhost" -out "$work/tls/h$host.pem" 2>/dev/null
  printf '\n[[certificate]]\ncert = "tls/h%d.pem"\nkey = "tls/key.pem"\n' "$host" >>"$work/edge.toml"
done
chmod 0600 "$work/tls/key.pem"
measure "certificates as files" "1000 ms"
