#!/usr/bin/env bash
# From an empty machine to a certified platform on real Kubernetes: six faults on a kind cluster of three nodes that the
# run makes itself, then the controls on the bare bed; what else is tested on clusters belongs to test-matrix.sh. Needs root;
# programs are built once per machine (15 minutes).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/bed-tests.sh
python3 -m testbed check
part "set-up" scripts/setup.sh --tests --testbed
if $python -m testbed status; then echo "a bed is up: take it down first (python -m testbed down)" >&2; exit 1; fi
leave_at_the_end all
part "programs, images, Docker" $python -m testbed up docker
part "what needs the programs" tests_on docker "${of_programs[@]}" "$@"
part "certified on kind" tests_on docker tests/e2e/kind/test_kind.py "$@"
part "Docker away" $python -m testbed down
part "the bare bed" $python -m testbed up bare
part "the controls on it" tests_on bare "${controls[@]}" "$@"
