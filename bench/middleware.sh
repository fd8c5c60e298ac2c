#!/usr/bin/env bash
# What each middleware costs a request, without an edge around it: benches/middleware.rs of the crate, by criterion.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo bench --locked --quiet -p edge --bench middleware
