#!/usr/bin/env bash
# Rewrites one of 100 files with 10,000 routes again and again while clients ask for another: how long, and how many requests fail.
# shellcheck source=bench/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

runs=${RUNS:-20}

write_config
write_routes 1000 10 internal
start_backend
write_backend_route app
start_edge
get app.bench.localhost / >/dev/null

h2load --duration=$((runs / 2 + 5)) --clients=16 --max-concurrent-streams=4 --connect-to="127.0.0.1:$port" \
  "https://app.bench.localhost:$port/" >"$work/load" 2>&1 &
load_pid=$!
all=()
for turn in $(seq "$runs"); do
  kill -0 "$load_pid" 2>/dev/null || break
  sed "s/^respond = .*/respond = { status = 200, body = \"turn $turn\" }/" "$work/routes/routes-000.toml" >"$work/next"
  mv "$work/next" "$work/routes/routes-000.toml"
  began=$(now)
  "$edge" reload --config "$work/edge.toml" >/dev/null
  all+=($(($(now) - began)))
  [[ $(get h0.bench.localhost /p0/) == "turn $turn" ]] || echo "warning: turn $turn is not live after its reload" >&2
done
wait "$load_pid" || true

header "reload of 10,000 routes under load"
row "edge reload, the whole command (${#all[@]} turns)" "$(median "${all[@]}") ms" "100 ms"
# "failed" counts answers that are no 2xx and requests that had none.
read -r total failed < <(awk '/^requests:/ { for (i = 2; i < NF; i++) if ($(i + 1) ~ /^failed/) bad = $i; print $2, bad }' "$work/load")
if ((total == 0)); then
  echo "error: h2load made no request:" >&2
  cat "$work/load" >&2
  exit 1
fi
row "requests that failed, of $total" "$failed" "0"
