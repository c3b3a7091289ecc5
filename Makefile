# Every target makes the environment that it needs; nothing has to be installed by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TEXT ?=
# Two processes, each with its own TensorFlow; what shares fixtures stays together, see tests/conftest.py.
WORKERS ?= --numprocesses 2 --dist loadfile

export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help setup lint format type floors test test-slow bench docs quickstart clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): setup.cfg requirements/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "keras_lm needs Python 3.11 or newer. Received: $$($(PYTHON) --version). Say PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --use-pep517 -c requirements/constraints.txt -e '.[test]'
	@touch $@

setup: $(STAMP) ## make .venv and install the package with its test extra

lint: $(STAMP) ## ruff, mypy and the floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) --no-print-directory type floors

format: $(STAMP) ## rewrite the code as ruff formats it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type: $(STAMP) ## mypy
	$(BIN)/mypy

floors: $(STAMP) ## no floor imports one above it
	$(BIN)/lint-imports

test: $(STAMP) ## the default suite, 11 to 17 minutes on 2 cores
	$(BIN)/python -m pytest $(WORKERS)

test-slow: $(STAMP) ## the long tests; they install old TensorFlow releases under .cache/
	$(BIN)/python -m pytest -m "slow or network"

bench: $(STAMP) ## paired with peers, about two hours; writes benchmarks/results/
	$(BIN)/python benchmarks/bench_tokenizers.py
	$(BIN)/python benchmarks/bench_input.py
	$(BIN)/python benchmarks/bench_banded_attention.py
	$(BIN)/python benchmarks/bench_train.py
	$(BIN)/python benchmarks/bench_forward.py
	$(BIN)/python benchmarks/bench_bfloat16.py
	$(BIN)/python benchmarks/bench_memory.py
	$(BIN)/python benchmarks/bench_checkpoints.py
	$(BIN)/python benchmarks/bench_workers.py
	$(BIN)/python benchmarks/bench_sampled_softmax.py
	$(BIN)/python benchmarks/bench_generate.py
	$(BIN)/python benchmarks/bench_prompt_lookup.py
	$(BIN)/python benchmarks/bench_serve.py
	$(BIN)/python benchmarks/bench_completions.py

quickstart: $(STAMP) ## train a BERT and a GPT, export them, ask them; TEXT="a.txt b.txt": your own text
	$(BIN)/python examples/quickstart.py $(TEXT)

clean: ## remove the environment and everything that was generated
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
