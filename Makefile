# `make run` builds and asks a model; `make test` runs the tests. Both set up what they need.

PYTHON ?= python3.11
# For example PIP_ARGS='--extra-index-url https://download.pytorch.org/whl/cpu' spares a machine without a GPU the
# CUDA libraries that torch otherwise brings.
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
SPEC ?= specs/builds/nano.yaml
ARGS ?=
BUILD ?=

.DEFAULT_GOAL := help
.PHONY: help install run plan status ui test test-fast test-slow campaign check format clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(VENV)/.run  ## build SPEC (nano) and ask it three questions: make run [SPEC=…] [ARGS='--set a.b=c']
	$(BIN)/python -m agents.manager $(SPEC) $(ARGS)

plan: $(VENV)/.run  ## print what `make run` would do: parameters, tokens, steps, memory, time
	$(BIN)/python -m agents.manager $(SPEC) $(ARGS) --dry-run

status: $(VENV)/.run  ## show all builds, or BUILD=…
	$(BIN)/python -m agents.status $(BUILD)

ui: $(VENV)/.ui  ## a page in the browser: builds, decisions, questions; loopback only: make ui [ARGS='--port 8000']
	$(BIN)/python -m agents.ui $(ARGS)

test: test-fast test-slow  ## all tests: the fast suite, then the slow one

test-fast: $(VENV)/.dev  ## unit and property tests, a few minutes
	$(BIN)/python -m pytest -q -m "not slow"

test-slow: $(VENV)/.dev  ## whole builds through real Ray, DeepSpeed and LangGraph; real packages
	$(BIN)/python -m pytest -q -m slow

campaign: $(VENV)/.dev  ## 100 seeded faults in real trainings, then 200 kills -9 of whole builds: each must end rightly
	$(BIN)/python -m tests.campaign --seeds 100
	$(BIN)/python -m tests.campaign.kills --seeds 200

check: $(VENV)/.dev  ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev  ## apply the format and the lint's own repairs
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(VENV)/.run  ## make .venv with the pinned dependencies, and no more

# pip is the last thing that venv makes: a half-made environment (venv missing or killed) has none.
$(BIN)/pip:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed; name one with PYTHON=…" >&2; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.run: pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install --disable-pip-version-check -q $(PIP_ARGS) -e .
	@touch $@

$(VENV)/.ui: pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install --disable-pip-version-check -q $(PIP_ARGS) -e '.[ui]'
	@touch $@ $(VENV)/.run

$(VENV)/.dev: pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install --disable-pip-version-check -q $(PIP_ARGS) -e '.[dev]'
	@touch $@ $(VENV)/.run $(VENV)/.ui

clean:  ## delete .venv and caches; datasets, runs and accepted models stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
