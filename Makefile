# Everything a developer needs: each command prepares .venv by itself, the first time and whenever
# pyproject.toml changes. Needs Python 3.11 or newer, make and a package index; `make help` lists the commands.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Start-up times are part of the product, and imports without bytecode are four times slower.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin

# The package as a compiled wheel installs it. With this on PYTHONPATH it stands before the sources,
# which .venv has as they are.
COMPILED := $(VENV)/compiled

# The interpreter that .venv is made from; the first that is new enough: make PYTHON=/usr/bin/python3.13 test
PYTHON ?=
CANDIDATES := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)

# Most tests wait more than they compute: several processes share them, a file at a time. Those that
# signal whole process groups, or look at every process of the machine, run alone. A process that a
# test brings down is not replaced: the run fails, whatever the tests that it still had would say.
ALONE := tests/engine tests/test_cli.py tests/properties/test_exits.py
OTHERS := $(foreach path,$(ALONE),--ignore=$(path))
SHARED := -n 3 --dist loadfile --max-worker-restart 0

# Runs tests, and once more those that failed, one after the other: a machine that is busy with
# something else makes real processes late. What fails twice fails, and the log has both.
define pytest
$(BIN)/python -m pytest $(1) $(2) $(ARGS) || { [ $$? -eq 1 ] && \
	$(BIN)/python -m pytest $(2) --last-failed --last-failed-no-failures=none $(ARGS); }
endef

.PHONY: demo
demo: $(VENV)/.installed ## migrate a program that analyses the standard library, run it on threads and on distexec
	@$(BIN)/python examples/demo.py

.PHONY: test
test: $(VENV)/.dev ## run the tests (about six minutes)
	$(call pytest,$(SHARED),$(OTHERS))
	$(call pytest,,$(ALONE))

# Tests of what is compiled. Those of nodes and operators stay with the sources, which saves a minute.
PASSED := $(addprefix tests/,client cpython faults limits properties ring scheduling security \
	store test_executor.py values wire)

.PHONY: compiled
compiled: $(COMPILED)/.made ## compile the package, for test-compiled and bench

.PHONY: test-compiled
test-compiled: $(COMPILED)/.made ## run the tests of calls on the compiled package
	export PYTHONPATH="$(CURDIR)/$(COMPILED)"; \
		$(call pytest,$(SHARED),-m "not full and not sources" $(PASSED))

.PHONY: test-full
test-full: $(VENV)/.dev ## run all tests, also those that are too long for every run
	$(call pytest,$(SHARED),-m "" $(OTHERS))
	$(call pytest,,-m "" $(ALONE))

.PHONY: soak
soak: $(VENV)/.dev ## run 100,000 calls without a fault, and more with one every three seconds
	$(BIN)/python -m pytest -m full -s tests/faults/test_soak.py $(ARGS)

.PHONY: check
check: $(VENV)/.dev ## lint, format, types, import directions and the examples in the documentation
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest tests/check_docs.py

# Stops the learning by replacing methods, which is not possible where they are compiled.
FREEZES := benchmarks/learning.py

.PHONY: bench
bench: $(VENV)/.bench $(COMPILED)/.made ## run every benchmark: benchmarks/*.py, one question per file (half an hour)
	@failed=""; for question in benchmarks/[a-z]*.py; do \
		printf '\n== %s\n' "$$question"; build="$(CURDIR)/$(COMPILED)"; [ "$$question" != $(FREEZES) ] || build=; \
		PYTHONPATH="$$build" $(BIN)/python "$$question" || failed="$$failed $$question"; \
	done; if [ -n "$$failed" ]; then echo "Failed:$$failed" >&2; exit 1; fi

.PHONY: bench-report
bench-report: $(VENV)/.installed ## draw the benchmarks' results, and put them into benchmarks/README.md
	@$(BIN)/python benchmarks/_pictures.py

.PHONY: wheel
wheel: $(VENV)/.installed ## build the compiled wheel for this machine into dist/
	$(compiler)
	HATCH_BUILD_HOOK_ENABLE_CUSTOM=true $(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

.PHONY: format
format: $(VENV)/.dev ## repair formatting and imports
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: clean
clean: ## remove .venv and everything else that can be made again
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/.python:
	@for candidate in $(CANDIDATES); do \
		if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			found="$$candidate"; break; \
		fi; \
	done; \
	if [ -z "$${found:-}" ]; then \
		echo "distexec needs Python 3.11 or newer; none of these is: $(CANDIDATES)." >&2; \
		echo "Name one: make PYTHON=/path/to/python3.13 $(MAKECMDGOALS)" >&2; exit 1; \
	fi; \
	rm -rf $(VENV); \
	if ! "$$found" -m venv $(VENV); then \
		echo "$$found cannot make a virtual environment (on Debian: apt install python3-venv)." >&2; exit 1; \
	fi
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'  # older ones do not know --group
	@touch $@

$(VENV)/.installed: pyproject.toml | $(VENV)/.python
	@echo "Installing distexec into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --compile --editable .
	@$(BIN)/python -m compileall -q src
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.installed
	@echo "Installing the tools for tests and checks ..."
	@$(BIN)/python -m pip install --quiet --compile --group dev
	@touch $@

define compiler
@command -v cc >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	apt-get install -qq --yes gcc libc6-dev python3-dev >/dev/null; } || { \
	echo "Compiling needs a C compiler and Python's headers (Debian: apt install gcc python3-dev)." >&2; \
	exit 1; }
endef

$(COMPILED)/.made: hatch_build.py pyproject.toml $(shell find src -name '*.py') | $(VENV)/.dev
	$(compiler)
	@echo "Compiling distexec into $(COMPILED) (a minute and a half) ..."
	@rm -rf $(COMPILED)
	@HATCH_BUILD_HOOK_ENABLE_CUSTOM=true $(BIN)/python -m pip install --quiet --no-deps --target $(COMPILED) .
	@touch $@

$(VENV)/.bench: pyproject.toml $(VENV)/.dev
	@echo "Installing those that the benchmarks compare with ..."
	@$(BIN)/python -m pip install --quiet --compile --group bench || \
		echo "Not all can be installed here: those are skipped."
	@touch $@
