# One command each. `make` alone lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench simulate plant

help: ## List the commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1|/' | column -t -s '|'

$(READY): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

setup: $(READY) ## Make the virtual environment: leaves .venv/bin/recoup

demo: $(READY) ## Walk one invoice from a decline to paid, and keep serving (ARGS=--exit stops after)
	@$(BIN)/python -m demo $(ARGS)

test: $(READY) ## Run every test (ARGS goes to pytest)
	@$(BIN)/python -m tests.run $(ARGS)

check: $(READY) ## Judge the code: format, lint, types, rings, SQL
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo >/dev/null || $(BIN)/lint-imports --no-logo
	@$(BIN)/squawk --config .squawk.toml src/recoup/store/migrations/*.sql
	@echo "check: format, lint, types, rings and SQL are fine"

bench: $(READY) ## Measure speed and memory: prints a table, writes bench/results/*.json
	@$(BIN)/python -m bench $(ARGS)

simulate: $(READY) ## Simulate the whole service by seed: make simulate N=1000
	@$(BIN)/python -m tests.simulation $(N)

plant: $(READY) ## Plant each known bug in turn, and say which tests noticed
	@$(BIN)/python -m tests.planted $(ARGS)
