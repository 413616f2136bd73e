# Two commands: `make up`, `make test`. `make` alone lists them all.
PYTHON ?= python3
CONFIG ?= configs/demo.yaml
ARGS ?=
WORKERS ?= 2
INSTALL = $(PYTHON) deploy/install.py $(if $(GPU),--gpu)
BIN = .venv/bin
# Packages are installed uncompiled; without their byte code every start would compile them again.
export PYTHONDONTWRITEBYTECODE =

.DEFAULT_GOAL := help
.PHONY: help up down status doctor test prove prove-real lint clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile
	@echo "  variables: CONFIG=configs/demo.yaml  PYTHON=python3  GPU=1  ARGS='arguments for pytest'  WORKERS=2"

up: ## install, rehearse the loop, start judge, server and web page
	@$(INSTALL)
	@$(BIN)/galen up $(CONFIG)

down: ## stop what `make up` started, and nothing else
	@$(BIN)/galen down

status: ## what runs, where, and which policy version answers
	@$(BIN)/galen status

doctor: ## check Python, packages, ports, disk, template and a tiny generation
	@$(INSTALL)
	@$(BIN)/galen doctor $(CONFIG)

test: ## run the tests; ARGS="-k words" picks some
	@$(INSTALL) --test
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

prove: ## run the longer tests, then the benchmarks, one script a claim, into benchmarks/RESULTS.md
	@$(INSTALL) --test
	@$(BIN)/python -m pytest -m prove $(ARGS)
	@set -e; for script in benchmarks/[a-z]*.py; do \
	  echo "== $$script"; $(BIN)/python -m benchmarks.$$(basename $$script .py); done

prove-real: ## an hour: a real model, its folder in GALEN_REAL_MODEL, learns by GRPO on the CPU
	@$(INSTALL) --test
	@$(BIN)/python -m benchmarks.rl_real_model

lint: ## ruff and mypy
	@$(INSTALL) --test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

clean: ## remove caches and build files; .venv and runs/ stay
	@rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
