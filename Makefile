# Two commands for a newcomer: `make demo` and `make test`. Everything they need is installed under .venv first.
PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench lock clean

help: ## show the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: $(INSTALLED) ## install what requirements.lock pins into .venv; the command is then .venv/bin/cartcast

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make setup: $(PYTHON) is older than Python 3.11; name a newer one: make setup PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "==> creating $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); }
	@echo "==> installing the uv installer that requirements.lock pins"
	@awk '/^[a-z]/ { keep = /^uv==/ } keep' requirements.lock > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.txt
	@echo "==> installing requirements.lock, each file checked against its hash (PyTorch is large: minutes on a slow line)"
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --require-hashes requirements.lock
	@echo "==> installing cartcast itself (editable)"
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## run the whole pipeline on this machine; options through ARGS="--events 50000 --no-dashboard"
	@$(BIN)/cartcast demo $(ARGS)

test: setup ## run every test, on a real Kafka and the real ClickHouse engine; options through ARGS
	@$(BIN)/python -m pytest $(ARGS)

check: setup ## lint, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## measure: cost of each stage, speed of training, throughput of the whole pipeline, delay at 2,000 events a second
	@PYTHONPATH=. $(BIN)/python tests/benchmarks/stages.py
	@PYTHONPATH=. $(BIN)/python tests/benchmarks/training.py
	@echo "==> full speed" && $(BIN)/cartcast demo --events 200000 --users 20000 --no-dashboard --json 2>/dev/null
	@echo "==> 2,000 events a second" && $(BIN)/cartcast demo --events 60000 --users 20000 --rate 2000 --no-dashboard --json 2>/dev/null

lock: $(INSTALLED) ## resolve pyproject.toml again into requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --all-extras --no-header \
	  --output-file requirements.lock pyproject.toml

clean: ## remove .venv and what tests and builds left
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache build dist
