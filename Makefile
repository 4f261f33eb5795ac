# Two commands need nothing installed by hand but Python 3.11+: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A virtual environment that uv or pip fills from the same constraints; pip's own find-links also serve uv.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
UV := $(shell command -v uv 2>/dev/null)
ifeq ($(UV),)
  MAKE_VENV = $(PYTHON) -m venv $(VENV)
  INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
else
  MAKE_VENV = $(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
  INSTALL = $(UV) pip install --quiet --python $(BIN)/python -c constraints.txt
endif

.PHONY: help demo test check lint types imports bench nightly clean
.DEFAULT_GOAL := help

help: ## list the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(VENV)/base: pyproject.toml constraints.txt
	@echo "installing stakan into $(VENV) (about a minute the first time)"
	@test -x $(BIN)/python || $(MAKE_VENV)
	@$(INSTALL) -e .
	@touch $@

$(VENV)/dev: $(VENV)/base
	@echo "installing the test tools into $(VENV)"
	@$(INSTALL) -e '.[dev]'
	@touch $@

demo: $(VENV)/base ## local exchange, bot and console on this machine, nothing to configure
	@$(BIN)/stakan demo

test: $(VENV)/dev lint types imports ## format, lint, types, import rules and all tests
	$(BIN)/pytest -n logical

lint: $(VENV)/dev
	$(BIN)/ruff format --check src tests bench
	$(BIN)/ruff check src tests bench

types: $(VENV)/dev
	$(BIN)/mypy --strict

imports: $(VENV)/dev
	$(BIN)/lint-imports

bench: $(VENV)/dev ## every benchmark, in one table
	$(BIN)/python -m bench

# Other seeds every night: they are counted from the day.
nightly: $(VENV)/dev ## ten thousand seeds of the simulation, then its mutation check (an hour or two)
	$(BIN)/stakan dst --seeds 10000 --first-seed $$(( $$(date +%s) / 86400 * 10000 ))
	$(BIN)/python -m tests.dst.mutants

clean: ## compiled kernels and caches
	@find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .benchmarks
