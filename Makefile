# The single entry point. Every target makes its own preparations (tools/bootstrap),
# so a fresh checkout needs nothing but `make demo` or `make test`.

PYTHON := .venv/bin/python
# Sent on to what a target runs, e.g. make demo ARGS="--outage 60"
ARGS ?=
# What `make sim` runs: a scenario, or the fault simulator if there is only a seed.
SIM = $(if $(SCENARIO),tests.sim $(SCENARIO),$(if $(SEED),tests.chaos,tests.sim kazakhstan-2022))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo lab sim soak test test-all lint lock deb clean

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

demo: ## run a probe, a broker and a server here, and watch an outage (ARGS="--outage 60")
	@tools/bootstrap demo
	@$(PYTHON) -m demo $(ARGS)

lab: ## play a scenario with real programs in namespaces (SCENARIO=kazakhstan-2022; needs root)
	@tools/bootstrap test
	@$(PYTHON) -m tests.lab $(or $(SCENARIO),--list) $(ARGS)

sim: ## on simulated time: a scenario (SCENARIO=kazakhstan-2022), or a life full of faults (SEED=7)
	@tools/bootstrap venv
	@$(PYTHON) -m $(SIM) $(if $(SEED),--seed $(SEED)) $(ARGS)

soak: ## the agent for hours under faults: does it stay its size? (ARGS="--hours 8"; needs root)
	@tools/bootstrap test
	@$(PYTHON) -m tests.soak $(ARGS)

test: ## all static checks, then the tests but the slow ones, with coverage
	@tools/bootstrap test
	@$(MAKE) --no-print-directory lint
	@tools/pytest -m "not slow" $(ARGS)
	@printf 'coverage: %s %% of lines (file by file: .venv/bin/coverage report)\n' \
		"$$($(PYTHON) -m coverage report --format=total)"

test-all: ## all static checks, then every test, with coverage file by file
	@tools/bootstrap test-all
	@$(MAKE) --no-print-directory lint
	@tools/pytest $(ARGS)
	@$(PYTHON) -m coverage report

lint: ## ruff, mypy and the import rules, without the tests
	@tools/bootstrap venv
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

lock: ## write requirements.lock anew from pyproject.toml (ARGS=--upgrade for newer versions)
	@tools/lock $(ARGS)

deb: ## the agent's Debian package and the archives of its release, into dist/
	@tools/bootstrap venv
	@$(PYTHON) -m tools.deb $(ARGS)

clean: ## remove .venv, caches and the demo's state
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage dist demo-state
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
