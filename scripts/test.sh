#!/usr/bin/env bash
# Every test with coverage; the children of the harness are measured too.
set -euo pipefail
cd "$(dirname "$0")/.."
export COVERAGE_FILE="$PWD/.coverage"
rm -f .coverage .coverage.*
.venv/bin/python -m coverage run -m pytest "$@"
.venv/bin/python -m coverage combine -q
.venv/bin/python -m coverage report --skip-covered --sort=cover --fail-under=90
