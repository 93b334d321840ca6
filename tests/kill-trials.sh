#!/usr/bin/env bash
# Stops runs of a small recipe in every way for so many seconds (600), and compares what they end with.
# See tests/it/trials.rs; STILLFLOW_TRIAL_SEED=<n> repeats a sequence.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --workspace
export STILLFLOW_TRIAL_SECONDS="${1:-600}"
exec cargo test --release -p stillflow --test it trials -- --nocapture
