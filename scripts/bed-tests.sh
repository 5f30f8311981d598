# Sourced by the scripts that test on a bed: how long each part took, and no bed left, however it ends.
python=.venv/bin/python
of_programs=(tests/unit/test_manifests_rendered.py tests/contract/test_kubernetes_api.py) # need the programs and no bed
providers=(tests/e2e/kind/test_kind_provider.py tests/e2e/kind/test_two_kinds.py) # clusters that kind makes
controls=(tests/e2e/kind/test_controls.py tests/e2e/kind/test_kill9_on_bed.py) # of test-kind.sh; the rest is test-matrix.sh's
times=()

part() { # NAME COMMAND…
  local name=$1 began=$SECONDS; shift
  printf '\033[1m[%s]\033[0m\n' "$name"
  "$@"
  times+=("$(printf '%5s s  %s' "$((SECONDS - began))" "$name")")
}

tests_on() { # BED ARGUMENT…: what is tested on it, where a test that is skipped has not passed
  TESTBED_REQUIRED=$1 $python -m pytest -q --durations=10 "${@:2}"
}

leave() { # BED…: takes beds down, also after Ctrl-C; a bed that does not go is a failure
  local code=$? bed
  trap '' INT TERM HUP
  for bed in "$@"; do
    if [[ -x $python ]] && ! $python -m testbed down "$bed"; then ((code)) || code=1; fi
  done
  ((${#times[@]})) && printf '%s\n' "${times[@]}"
  exit "$code"
}

leave_at_the_end() { # BED…
  trap "leave $*" EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}
