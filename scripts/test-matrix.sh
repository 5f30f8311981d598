#!/usr/bin/env bash
# Every fault on the bare test bed, landed, undone, and a second look that finds nothing; figures go to build/fault-matrix.jsonl.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
mkdir -p build
export FAULT_MATRIX=${FAULT_MATRIX:-$PWD/build/fault-matrix.jsonl}
rm -f "$FAULT_MATRIX"
trap '$python -m testbed down bare' EXIT
$python -m testbed up bare
$python -m pytest tests/e2e/bed -q "$@"
