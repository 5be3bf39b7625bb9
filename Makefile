# Everything these targets create stays in this checkout, package caches aside.
# Paths are relative throughout, so that the checkout's own path may contain spaces.

PYTHON ?= python3
BIN := .venv/bin
START := $(shell date +%s)
# Meltano keeps its logs there, by default below the home directory.
export XDG_STATE_HOME := $(CURDIR)/.meltano

# Install one thing while checking another.
ifeq ($(MAKELEVEL)$(filter clean,$(MAKECMDGOALS)),0)
MAKEFLAGS += --jobs=2
endif

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

.PHONY: demo
demo: .venv-demo/installed .meltano/installed ## Sync a mock Voucherify into DuckDB with Meltano
	.venv-demo/bin/python -m dev.demo

.PHONY: demo-dbt
demo-dbt: .demo/complete .venv-dbt/installed ## Build and test the example's dbt models on the demo's data
	cd examples/dbt && VOUCHERIFY_MODELS=../../.demo/models.duckdb ../../.venv-dbt/bin/dbt build \
		--profiles-dir . --target-path ../../.demo/dbt/target --log-path ../../.demo/dbt/logs

.demo/complete:
	$(MAKE) demo

.PHONY: check
check: format-check lint types test-unit ## Check format, lint, imports and types, and run the unit and api tests (under a minute)
	@echo "All checks passed in $$(($$(date +%s) - $(START))) seconds"

.PHONY: test
test: format-check lint types test-wheel ## Check format, lint, imports and types, and run all tests against the wheel

.PHONY: test-unit
test-unit: .venv/installed ## Run the unit and api tests against this checkout
	$(BIN)/pytest --quiet --numprocesses auto tests/unit tests/api

.PHONY: test-wheel
test-wheel: .venv/installed .meltano/installed .meltano/loaders-installed ## Run the tests against the wheel, on all installed Pythons
	$(BIN)/nox

.PHONY: test-airflow
test-airflow: .venv/installed .venv-airflow/installed .venv-meltano/installed ## Run the sharded backfill example in Airflow
	$(BIN)/python -m tests.airflow

.PHONY: bench
bench: .venv/installed .venv-bench/installed .meltano/installed .meltano/loaders-installed ## Benchmark the tap against other tools
	$(BIN)/python -m dev.bench

.PHONY: fuzz
fuzz: .venv/installed .fuzz/scanner.so .fuzz/scanner ## Fuzz the compiled code under sanitizers, for two minutes (needs gcc and clang)
	LD_PRELOAD=$$($(CC) -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 \
		$(BIN)/python -m tests.support.fuzz_scanner 10000 .fuzz/scanner.so
	mkdir -p .fuzz/corpus
	.fuzz/scanner -max_total_time=60 -max_len=2000 -artifact_prefix=.fuzz/ .fuzz/corpus

SANITIZERS := -std=c99 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all

.fuzz/scanner.so: tap_voucherify/files/scanner.c
	mkdir -p $(@D)
	$(CC) $(SANITIZERS) -fPIC -shared -fvisibility=hidden -o $@ $<

.fuzz/scanner: tests/support/fuzz_scanner.c tap_voucherify/files/scanner.c
	mkdir -p $(@D)
	clang $(SANITIZERS) -fsanitize=fuzzer -o $@ $<

.PHONY: format
format: .venv/installed ## Format the code and fix what ruff can fix
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

.PHONY: format-check
format-check: .venv/installed
	$(BIN)/ruff format --check --diff

.PHONY: lint
lint: .venv/installed ## Lint the code, and check that modules import only from lower layers
	$(BIN)/ruff check
	$(BIN)/lint-imports

.PHONY: types
types: .venv/installed ## Check the types
	$(BIN)/mypy
	$(BIN)/mypy noxfile.py

.PHONY: pytest
pytest: .venv/installed .meltano/installed .meltano/loaders-installed ## Run the tests against this checkout
	$(BIN)/pytest --numprocesses auto --cov

.PHONY: clean
clean: ## Remove everything these targets created
	rm -rf .fuzz .venv .venv-airflow .venv-bench .venv-dbt .venv-demo .venv-meltano .airflow .demo .meltano .nox dist .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

define new-venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo 'Python 3.10 or newer is needed: make PYTHON=/path/to/python3' >&2; exit 1; }
	$(PYTHON) -m venv --clear $(1)
	$(1)/bin/python -m pip install --quiet --upgrade 'pip>=25.1' # the first that supports dependency groups
endef

.venv/installed: pyproject.toml hatch_build.py tap_voucherify/files/scanner.c
	$(call new-venv,.venv)
	$(BIN)/python -m pip install --quiet --editable '.[parquet,s3]' --group dev
	touch $@

.venv-airflow/installed: pyproject.toml
	$(call new-venv,.venv-airflow)
	.venv-airflow/bin/python -m pip install --quiet --group airflow
	touch $@

.venv-meltano/installed: pyproject.toml
	$(call new-venv,.venv-meltano)
	.venv-meltano/bin/python -m pip install --quiet --group meltano
	touch $@

.venv-bench/installed: pyproject.toml
	$(call new-venv,.venv-bench)
	.venv-bench/bin/python -m pip install --quiet --group bench
	touch $@

# Smaller than .venv, for a quick first look.
.venv-demo/installed: pyproject.toml
	$(call new-venv,.venv-demo)
	.venv-demo/bin/python -m pip install --quiet --group demo
	touch $@

.venv-dbt/installed: pyproject.toml
	$(call new-venv,.venv-dbt)
	.venv-dbt/bin/python -m pip install --quiet --group dbt
	touch $@

# The loader in meltano.yml works only with versions of DuckDB that predate Python 3.14.
.meltano/installed: .venv-meltano/installed meltano.yml
	@.venv-meltano/bin/python -c 'import sys; sys.exit(sys.version_info >= (3, 14))' || \
		{ echo 'Python 3.13 or older is needed: make clean, then add PYTHON=/path/to/python3' >&2; exit 1; }
	.venv-meltano/bin/meltano install
	touch $@

# After the demo's plugins, since both share Meltano's database.
.meltano/loaders-installed: .venv-meltano/installed tests/loaders/meltano.yml | .meltano/installed
	cd tests/loaders && MELTANO_SYS_DIR_ROOT=../../.meltano ../../.venv-meltano/bin/meltano install
	touch $@
