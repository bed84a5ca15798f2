# Everything runs in .venv, which is made when it is first needed and refreshed when
# pyproject.toml or requirements.lock change. `make PYTHON=python3.12 ...` picks an interpreter.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
LOCK_VENV := build/lock-venv
BENCH_VENV := build/bench-venv
# Each process of tests would compile all of them anew: where images say so, this is empty.
export PYTHONDONTWRITEBYTECODE :=
# Files of tests are shared out among processes as tests/support/scheduling.py says.
IN_PARALLEL := -n auto --maxprocesses 4 --no-loadscope-reorder
# Nothing is waited for there, and what loads slowly is left out.
QUICKLY := -n logical --maxprocesses 4 -p no:schemathesis --ignore tests/unit/benchmarks

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-quick test-random test-browser screenshot fuzz bench bench-api bench-backpressure \
	bench-collector bench-dashboard bench-model bench-rank bench-sources bench-state bench-sweep chaos faults \
	check audit format lock clean

help: ## list what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.demo ## real shoppers through a whole system: ARGS="--for 60s --no-browser"
	@$(BIN)/stream-persona demo $(ARGS)

test: $(VENV)/.dev ## all tests, in a process more than cores: ARGS="tests/unit -k redelivery", ARGS="-n0 --pdb"
	@$(BIN)/python -m pytest $(IN_PARALLEL) $(ARGS)

test-quick: $(VENV)/.dev ## the unit tests alone, which need no server: ARGS="-k redelivery"
	@HYPOTHESIS_PROFILE=quick $(BIN)/python -m pytest -m "not long" $(QUICKLY) tests/unit tests/chaos $(ARGS)

test-random: $(VENV)/.dev ## the unit tests with other random examples on every run: ARGS="-k fold"
	@HYPOTHESIS_PROFILE=random $(BIN)/python -m pytest $(IN_PARALLEL) tests/unit $(ARGS)

test-browser: $(VENV)/.dev ## of all tests, the dashboard in a real browser: ARGS="-k override"
	@$(BIN)/python -m pytest -m browser tests/browser $(ARGS)

screenshot: $(VENV)/.dev ## the README's pictures and its film, from the demo
	@$(BIN)/python -m tests.browser.screenshot $(ARGS)

fuzz: $(VENV)/.fuzz ## mutated bytes through the whole path: ARGS="-runs=1000000"
	@$(BIN)/python -m tests.fuzz.fuzz_events $(ARGS)

bench: $(VENV)/.dev $(BENCH_VENV)/.peers ## a worker beside a ceiling and other frameworks: ARGS="--only systems"
	@$(BIN)/python -m tests.benchmarks.speed.run $(ARGS)

bench-state: $(VENV)/.dev ## of these, bytes of a shopper, and what hashed slots and known ids cost
	@$(BIN)/python -m tests.benchmarks.speed.run --only state

bench-api: $(VENV)/.dev ## the API's routes beside a bare GET, 1,000 listeners: ARGS="--turns 1"
	@$(BIN)/python -m tests.benchmarks.api $(ARGS)

bench-collector: $(VENV)/.dev ## events by HTTP until the broker has them, beside a bare POST: ARGS="--seconds 2"
	@$(BIN)/python -m tests.benchmarks.api_collector $(ARGS)

bench-dashboard: $(VENV)/.dev ## the page while 200 shoppers a second change: ARGS="--seconds 60"
	@$(BIN)/python -m tests.benchmarks.dashboard $(ARGS)

bench-backpressure: $(VENV)/.dev ## a worker's memory and pace before slow servers: ARGS="--events 30000"
	@$(BIN)/python -m tests.benchmarks.backpressure $(ARGS)

bench-model: $(VENV)/.dev ## the model beside others, and its targets: ARGS="--only study,separable"
	@$(BIN)/python -m tests.benchmarks.model $(ARGS)

bench-rank: $(VENV)/.dev ## next baskets of real households, ranked with and without personas: ARGS=--pairs
	@$(BIN)/python -m tests.benchmarks.rank.run $(ARGS)

bench-sweep: $(VENV)/.dev ## a million idle shoppers follow the model: ARGS="--shoppers 100000"
	@$(BIN)/python -m tests.benchmarks.sweep $(ARGS)

bench-sources: $(VENV)/.dev ## what a foreign event costs beside one in our own shape: ARGS="--seconds 2"
	@$(BIN)/python -m tests.benchmarks.sources $(ARGS)

faults: $(VENV)/.dev ## each fault of Redis and Kafka that deploy/README.md names
	@$(BIN)/python -m pytest -m faults tests/integration $(ARGS)

chaos: $(VENV)/.dev ## workers, broker and Redis die on a busy shop: ARGS="--seeds 3 --events 200000"
	@$(BIN)/python -m tests.chaos.run $(ARGS)

check: $(VENV)/.dev ## lint, formatting, types and unsafe calls
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/bandit --quiet --recursive --configfile pyproject.toml stream_persona

audit: $(VENV)/.audit ## known vulnerabilities of all locked versions: asks a service on the network
	@$(BIN)/pip-audit --strict --no-deps --disable-pip --progress-spinner off $(ARGS) -r requirements.lock \
	    || { echo "make audit: there are vulnerabilities, or some versions could not be asked about; no result is no good one" >&2; exit 1; }

format: $(VENV)/.dev ## rewrite the sources as `make check` wants them
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

lock: ## choose the newest allowed versions anew and write requirements.lock
	@rm -rf $(LOCK_VENV) && mkdir -p build
	@$(call make_venv,$(LOCK_VENV))
	@echo "Installing the newest allowed versions into $(LOCK_VENV) ..."
	@$(LOCK_VENV)/bin/python -m pip --disable-pip-version-check install --quiet -e '.[dev,fuzz,audit]'
	@{ echo "# Every version that the dev, fuzz and audit extras install; made by \`make lock\`, not by hand."; \
	   echo "# It constrains an installation: pip install -c requirements.lock -e '.[dev]'"; \
	   $(LOCK_VENV)/bin/python -m pip freeze --exclude-editable | LC_ALL=C sort -f; \
	 } > build/requirements.lock
	@mv build/requirements.lock requirements.lock
	@rm -rf $(LOCK_VENV)
	@echo "Wrote requirements.lock: $$(grep -c == requirements.lock) versions"

clean: ## remove .venv and everything that was built or cached
	@rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find stream_persona tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Two stamps in one environment: the dev extra holds the demo extra, so installing it is both.

$(VENV)/.dev: pyproject.toml requirements.lock | $(BIN)/python
	@echo "Installing the developer's packages into $(VENV): once, a minute or two ..."
	@$(PIP) install --quiet -c requirements.lock -e '.[dev]'
	@touch $(VENV)/.demo $@

$(VENV)/.fuzz: $(VENV)/.dev
	@echo "Installing the fuzzer into $(VENV), once ..."
	@$(PIP) install --quiet -c requirements.lock -e '.[dev,fuzz]'
	@touch $@

$(VENV)/.audit: $(VENV)/.dev
	@echo "Installing pip-audit into $(VENV), once ..."
	@$(PIP) install --quiet -c requirements.lock -e '.[dev,audit]'
	@touch $@

$(VENV)/.demo: pyproject.toml requirements.lock | $(BIN)/python
	@echo "Installing the demo's packages into $(VENV): once, a minute or two ..."
	@$(PIP) install --quiet -c requirements.lock -e '.[demo]'
	@touch $@

# The frameworks that ours is compared with ask for other versions than the lock has of these.
$(BENCH_VENV)/.peers: tests/benchmarks/speed/peers.txt pyproject.toml requirements.lock
	@$(call make_venv,$(BENCH_VENV))
	@echo "Installing the frameworks to compare with into $(BENCH_VENV): once, a minute or two ..."
	@grep -viE '^(confluent-kafka|pydantic|pydantic_core|pydantic-settings)==' requirements.lock > $(BENCH_VENV)/constraints.txt
	@$(BENCH_VENV)/bin/python -m pip --disable-pip-version-check install --quiet \
		-c $(BENCH_VENV)/constraints.txt -e . -r tests/benchmarks/speed/peers.txt
	@touch $@

$(BIN)/python:
	@$(call make_venv,$(VENV))

# An environment in $(1), or one clear line why there is none.
define make_venv
command -v $(PYTHON) >/dev/null || { \
	echo "No $(PYTHON) here: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.12" >&2; \
	exit 1; }; \
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "$(PYTHON) is $$($(PYTHON) -V 2>&1), but 3.11 or newer is needed; name one: make PYTHON=python3.12" >&2; \
	exit 1; }; \
$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	echo "$(PYTHON) has no venv module: install it (Debian and Ubuntu: apt install python3-venv)" >&2; \
	exit 1; }; \
$(PYTHON) -m venv --clear $(1) || { rm -rf $(1); exit 1; }
endef
