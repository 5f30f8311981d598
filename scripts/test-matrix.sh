#!/usr/bin/env bash
# Every fault on the bare test bed: landed, undone, and a second look that finds nothing. Figures: build/fault-matrix.jsonl.
# A bed that was up before stays up.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
mkdir -p build
export FAULT_MATRIX=${FAULT_MATRIX:-$PWD/build/fault-matrix.jsonl}
rm -f "$FAULT_MATRIX"
$python -m testbed status >/dev/null || trap '$python -m testbed down bare' EXIT
$python -m testbed up bare
$python -m pytest tests/e2e/bed -q "$@"
