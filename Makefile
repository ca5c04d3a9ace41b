# Two commands for a newcomer: `make demo` and `make test`. Everything they need is installed under .venv first.
PYTHON ?= python3
# Where nothing compiled is kept, each start compiles PyTorch's sources again, and the tests make hundreds.
unexport PYTHONDONTWRITEBYTECODE
# `make setup DEVICE=cpu` leaves out what only a GPU needs; the libraries that PyTorch loads at import are not among it.
DEVICE ?= any
GPU_ONLY := triton cuda-toolkit cuda-bindings cuda-pathfinder nvidia-cuda-cccl nvidia-nvtx
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test check soak bench docs reference screenshots wheel sbom lock images clean

help: ## show the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: $(INSTALLED) ## install what requirements.lock pins into .venv; the command is then .venv/bin/cartcast

$(INSTALLED): requirements.lock pyproject.toml cartcast/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make setup: $(PYTHON) is older than Python 3.11; name a newer one: make setup PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "==> creating $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); }
	@echo "==> installing the uv installer that requirements.lock pins"
	@awk '/^[a-z]/ { keep = /^uv==/ } keep' requirements.lock > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.txt
	@echo "==> installing requirements.lock, each file checked against its hash (PyTorch is large: minutes on a slow line)"
	@awk -v left="$(if $(filter cpu,$(DEVICE)),$(GPU_ONLY))" 'BEGIN { count = split(left, names, " "); \
	    for (n = 1; n <= count; n++) out[names[n]] } \
	  /^[a-z]/ { split($$1, name, "=="); keep = !(name[1] in out) } keep' requirements.lock > $(VENV)/lock.txt
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --require-hashes $(VENV)/lock.txt
	@echo "==> installing cartcast itself (editable)"
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@echo "==> compiling what scores events for this processor (about half a minute)"
	@$(BIN)/python -m streams.warm_up
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

soak: setup ## let faults happen to a running pipeline, drawn by seeds, and check what must hold; ARGS="--seeds 1-20"
	@$(BIN)/python -m tests.soak $(ARGS)

bench: setup ## measure Cartcast beside Flink, Kafka Streams, Quix Streams ... on this machine; `make bench ARGS=quick` is a short one
	@$(BIN)/python -m benchmarks $(ARGS)

screenshots: setup ## take the pictures in docs/images: runs the demo and opens its pages in Chromium, two minutes
	@$(BIN)/python tests/screenshots.py

docs: setup ## build the documentation site into build/site, warnings are errors; `make docs ARGS=serve` shows it while you write
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs $(or $(ARGS),build) --strict

reference: setup ## write the generated files of docs/: contracts, data dictionary, pages of reference
	@$(BIN)/python -m cartcast.reference

wheel: setup ## build dist/cartcast-VERSION-py3-none-any.whl
	@$(BIN)/python -m hatchling build --target wheel --directory dist
	@echo "install it with what the demo needs: pip install 'dist/cartcast-$(VERSION)-py3-none-any.whl[demo]'"

sbom: setup ## write the bill of materials of what runs, CycloneDX, to dist/cartcast-VERSION.cdx.json
	@mkdir -p build dist
	@$(COMPILE) --no-annotate --constraints requirements.lock --extra all --extra cuda --output-file build/pins.txt pyproject.toml
	@$(BIN)/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --output-reproducible --output-file build/environment.cdx.json
	@$(BIN)/python -m cartcast.reference.sbom build/pins.txt < build/environment.cdx.json > build/cartcast.cdx.json
	@mv build/cartcast.cdx.json dist/cartcast-$(VERSION).cdx.json && echo dist/cartcast-$(VERSION).cdx.json

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header
PART = $(COMPILE) --no-annotate --constraints requirements.lock --output-file deploy/docker/requirements

lock: $(INSTALLED) ## resolve pyproject.toml again into requirements.lock, and each image's part of it
	$(COMPILE) --all-extras --output-file requirements.lock pyproject.toml
	$(PART)/sink.txt --extra sink pyproject.toml
	$(PART)/dashboard.txt --extra dashboard pyproject.toml
	$(PART)/worker-cuda.txt --extra worker --extra trace --extra cuda pyproject.toml
	$(PART)/worker-cpu.txt --extra worker --extra trace $(GPU_ONLY:%=--no-emit-package %) pyproject.toml
	$(PART)/trainer.txt --extra train $(GPU_ONLY:%=--no-emit-package %) pyproject.toml
	echo hatchling | $(PART)/build.txt -

VERSION = $(shell $(BIN)/python -c 'from importlib.metadata import version; print(version("cartcast"))')
BUILD = docker build --file deploy/docker/Dockerfile --build-arg VERSION=$(VERSION) \
  --build-arg REVISION=$(shell git rev-parse HEAD)

images: setup ## build the images with Docker: worker (CPU, and CUDA as -cuda), sink, dashboard, trainer
	$(BUILD) --target worker --tag cartcast-worker:$(VERSION) .
	$(BUILD) --target worker --build-arg DEVICE=cuda --tag cartcast-worker:$(VERSION)-cuda .
	$(BUILD) --target sink --tag cartcast-sink:$(VERSION) .
	$(BUILD) --target dashboard --tag cartcast-dashboard:$(VERSION) .
	$(BUILD) --target trainer --tag cartcast-trainer:$(VERSION) .

clean: ## remove .venv and what tests and builds left
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache build dist
