#!/usr/bin/env bash
# Installs all that `make certify` and `make test` need. Says what it does, does nothing twice.
#   scripts/setup.sh [--tests] [--testbed]     --tests: also what only the tests need; --testbed: what the Kubernetes test bed needs
set -euo pipefail
cd "$(dirname "$0")/.."

WEAVIATE=v1.35.2
packages=(haproxy prometheus prometheus-alertmanager redis-server postgresql-15 chromium)
for option in "$@"; do
  case $option in
    --tests) packages+=(poppler-utils) ;;
    --testbed) packages+=(conntrack ethtool iproute2 iptables libdevmapper1.02.1 mmdebstrap openssl runc socat) ;;
    *) sed -n 2,3p "$0"; exit 2 ;;
  esac
done

say() { printf '\033[1m[setup]\033[0m %s\n' "$*"; }
run_for_long() { # DESCRIPTION COMMAND…: a dot every 5 s, the output only when it fails
  local what=$1 log started=$SECONDS; shift
  log=$(mktemp)
  printf '\033[1m[setup]\033[0m %s ' "$what"
  "$@" >"$log" 2>&1 & local pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$pid" 2>/dev/null && sleep 0.5; done
    printf .
  done
  if wait "$pid"; then printf ' done in %s s\n' "$((SECONDS - started))"; rm -f "$log"
  else printf ' FAILED\n'; tail -n 30 "$log" >&2; say "the whole output: $log"; exit 1; fi
}

missing() { for p in "$@"; do dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || echo "$p"; done; }

install_packages() {
  local want; mapfile -t want < <(missing "${packages[@]}")
  ((${#want[@]})) || return 0
  local sudo=()
  if ((EUID)); then
    command -v sudo >/dev/null || { say "needs root for: apt-get install ${want[*]}"; exit 1; }
    sudo=(sudo)
  fi
  # The packages' own services must not start: the harness runs the programs itself, on ports of its own.
  local policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee $policy >/dev/null
    "${sudo[@]}" chmod 755 $policy
    # shellcheck disable=SC2064
    trap "${sudo[*]} rm -f $policy" EXIT
  fi
  run_for_long "refreshing the package lists" "${sudo[@]}" apt-get update -q
  run_for_long "installing ${want[*]}" "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "${want[@]}"
}

install_python() {
  local stamp=.venv/.installed want
  want=$(cat pyproject.toml scripts/setup.sh | sha256sum)
  [[ -f $stamp && $(cat $stamp) == "$want" ]] && return 0
  command -v python3 >/dev/null || { say "needs Python 3.11 or newer"; exit 1; }
  [[ -x .venv/bin/python ]] || python3 -m venv .venv
  run_for_long "installing the Python packages" .venv/bin/python -m pip install -q --disable-pip-version-check -e '.[sophia,dev]'
  printf '%s' "$want" >$stamp
}

install_weaviate() {
  local bin; bin="$(go env GOPATH 2>/dev/null || true)/bin/weaviate-server"
  command -v weaviate-server >/dev/null && bin=$(command -v weaviate-server)
  if [[ -x $bin ]] && go version -m "$bin" 2>/dev/null | grep -q "weaviate	$WEAVIATE"; then return 0; fi
  if ! command -v go >/dev/null; then
    if [[ -x $bin ]]; then return 0; fi
    say "Weaviate is missing and cannot be built: install Go 1.24 or newer, then run this again"; exit 1
  fi
  run_for_long "building Weaviate $WEAVIATE (about 4 minutes, once per machine)" \
    env CGO_ENABLED=0 go install "github.com/weaviate/weaviate/cmd/weaviate-server@$WEAVIATE"
}

install_packages
install_python
install_weaviate
