#!/usr/bin/env bash
# Every fault on the bare test bed: landed, undone, judged by a run of the harness, and a second look that finds nothing.
# Figures: build/fault-matrix.jsonl. Then all else that is tested there, but the controls of test-kind.sh; and clusters that
# kind makes, where no bed was up before. Needs root. A bed that was up before stays up.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/bed-tests.sh
python3 -m testbed check
part "set-up" scripts/setup.sh --tests --testbed
mkdir -p build
export FAULT_MATRIX=${FAULT_MATRIX:-$PWD/build/fault-matrix.jsonl}
rm -f "$FAULT_MATRIX"
if $python -m testbed status >/dev/null; then kept=yes; leave_at_the_end; else kept=; leave_at_the_end all; fi
part "a Gateway controller" $python -m testbed build traefik
part "the bare bed" $python -m testbed up bare
part "every fault" tests_on bare tests/e2e/bed "$@"
part "all else on it" tests_on bare tests/e2e/kind "${controls[@]/#/--ignore=}" "$@"
if [[ -z $kept ]]; then
  part "the bare bed away" $python -m testbed down
  part "Docker" $python -m testbed up docker
  part "clusters that kind makes" tests_on docker "${providers[@]}" "$@"
fi
