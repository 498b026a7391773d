# Everything here works on a fresh machine that has python3 (3.11 to 3.13, with venv) and make.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check training oracles bench soak docs picture lock clean

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
ARGS ?=
JOBS ?= 2
PAIRS ?= 1000000

# A stamp's name holds the checksum of what it stands for, so a changed lock or project file sets up again
# and an unchanged one costs nothing. The development set-up contains the demo's.
key = $(shell cat pyproject.toml requirements/$(1).txt | cksum | tr -d ' ')
DEV := $(VENV)/.dev-$(call key,dev)
DEMO := $(or $(wildcard $(DEV)),$(VENV)/.demo-$(call key,demo))
ORACLES := $(VENV)/.oracles-$(call key,oracles)

# For every platform and every Python from 3.11 on; the build's own tools are locked too, no host is named.
compile = $(BIN)/uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 \
	--group build --generate-hashes --no-header --no-emit-index-url --no-annotate

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(DEMO) ## set up what the demo needs, then run it (ARGS="--seed 7 --agents 150")
	@$(BIN)/ripstop demo drones $(ARGS)

test: $(DEV) ## run the tests (ARGS="tests/policy -x")
	@$(BIN)/pytest -n $(JOBS) $(ARGS)

check: $(DEV) ## lint, format, types, import contracts, then the tests with the architecture and docs tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest -n $(JOBS) $(ARGS)

training: $(DEV) ## add PyTorch, in which forecasts are trained; their tests then run, too
	@$(BIN)/python -m pip install -qq --no-build-isolation -e '.[train]'

oracles: $(DEV) $(ORACLES) ## add the simulators that risk is held to, and its rivals; their tests then run, too

bench: $(DEV) $(ORACLES) ## run the benchmarks and print their figures
	@set -e; for file in benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python "$$file"; done

soak: $(DEV) ## run the property tests with many more examples, a million pairs through all engines (PAIRS=), some with C under sanitizers, 10,000 crashes and faults, a week without a ground
	@HYPOTHESIS_PROFILE=soak $(BIN)/pytest -n $(JOBS) $(ARGS)
	@$(BIN)/python tests/engine_soak.py --pairs $(PAIRS)
	@$(BIN)/python tests/sanitized.py tests/engine_soak.py --pairs 8000
	@$(BIN)/python tests/ledger_soak.py
	@$(BIN)/python tests/ledger_faults.py
	@PYTHONPATH=tests $(BIN)/python tests/week.py

docs: $(DEV) ## write the generated pages of docs/ again
	@set -e; for file in docs/reference/write_*.py; do $(BIN)/python "$$file"; done

picture: $(DEV) ## draw the README's picture from a run (RUN=runs/<id>)
	@$(BIN)/python docs/img/write_demo.py $(RUN)

lock: $(DEV) ## make the lock files in requirements/ again
	@$(compile) --extra all --group dev -o requirements/dev.txt
	@$(compile) --extra demo -c requirements/dev.txt -o requirements/demo.txt
	@$(compile) --group oracles -c requirements/dev.txt -o requirements/oracles.txt
	@! grep -n '://' requirements/*.txt

clean: ## remove the environment, caches and builds; what runs recorded stays
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

define install
	@test -n "$(PYTHON)" || { echo "ripstop needs python3 between 3.11 and 3.13, with venv"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing requirements/$(1).txt into $(VENV) (half a minute on a fast line)"
	@$(BIN)/python -m pip install -qq --no-deps --require-hashes -r requirements/$(1).txt
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation -e .
	@$(BIN)/ripstop warmup
	@rm -f $(VENV)/.$(1)-*
	@touch $@
endef

$(ORACLES): $(DEV)
	@echo "adding requirements/oracles.txt to $(VENV)"
	@$(BIN)/python -m pip install -qq --no-deps --require-hashes -r requirements/oracles.txt
	@rm -f $(VENV)/.oracles-*
	@touch $@

$(VENV)/.demo-%:
	$(call install,demo)

$(VENV)/.dev-%:
	$(call install,dev)
