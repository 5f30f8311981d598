# `make certify` certifies the reference platform on this machine; `make test` runs every test that needs no cluster; both set up
# all they need. So do `test-kind` and `test-matrix`, for those that need one.
.DEFAULT_GOAL := help
HARNESS := .venv/bin/harness
PROFILE ?= quick

.PHONY: help setup setup-tests certify test test-kind test-matrix test-unit lint clean

help:            ## what can be done
	@sed -n 's/^\([a-z-]*\):.*## /\1  /p' $(MAKEFILE_LIST)

setup:           ## install all that is needed to certify
	@scripts/setup.sh

setup-tests:     ## … and to run the tests
	@scripts/setup.sh --tests

certify: setup   ## deploy, load, break, judge; PROFILE=quick (2 minutes) or full
	$(HARNESS) certify --profile $(PROFILE)

lint: setup-tests ## style, types, layers
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

test-unit: setup-tests ## unit, property and golden tests, a few minutes
	.venv/bin/python -m pytest tests/unit tests/properties tests/golden -q

test: lint       ## every test that needs no cluster, with coverage
	scripts/test.sh

test-kind:       ## from an empty machine to a platform certified on kind, and the controls on a real cluster (root)
	scripts/test-kind.sh

test-matrix:     ## every fault on a real cluster: brings the bare test bed up (root; minutes once), and down again
	scripts/test-matrix.sh

clean:           ## remove what was built here (not the reports)
	rm -rf .venv .cache build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
