#!/usr/bin/env bash
# From an empty machine to a certified platform on real Kubernetes: six faults on a kind cluster of three nodes that the
# run makes itself, then the controls on the bare bed. Needs root; programs are built once per machine (15 minutes).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh --tests --testbed
python=.venv/bin/python
trap '$python -m testbed down' EXIT
$python -m testbed up docker
$python -m pytest tests/e2e/kind/test_kind.py tests/e2e/kind/test_kind_provider.py -q "$@"
$python -m testbed down
$python -m testbed up bare
$python -m pytest tests/e2e/kind -q "$@"
