# make demo    hear Haro work: a hydrophone's day in fast motion, no network needed
# make run     listen to Orcasound's public hydrophones until Ctrl-C
# make test    the whole test suite        make check   lint, types, architecture
# make bench   how fast Haro scores, in how much memory, and what that costs: about five minutes
# make emulators   Blob Storage, Service Bus and Cosmos DB on this machine, for `func start`, until Ctrl-C
PYTHON ?= python3
HARO := .venv/bin/haro

.PHONY: demo run test check bench format train emulators clean

demo: .venv/installed
	$(HARO) demo

run: .venv/installed
	$(HARO) run

test: .venv/installed-dev
	.venv/bin/python -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder

check: .venv/installed-dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: .venv/installed-dev
	.venv/bin/python -m bench

emulators: .venv/installed-dev .venv/installed-azurite
	.venv/bin/python -m tests.emulators --write

format: .venv/installed-dev
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

train: .venv/installed-train
	@echo "PyTorch is installed in .venv; model/README.md says how to go on"

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

.venv/installed-train: .venv/installed-dev requirements-train.txt
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-train.txt
	touch $@

# Microsoft's engine for functions needs Python 3.13, whatever Haro itself runs on: a place of its own.
PYTHON313 ?= $(firstword $(foreach python,python3.13 $(wildcard $(HOME)/.pyenv/versions/3.13*/bin/python), \
	$(shell $(python) -c 'import sys; print(sys.executable)' 2>/dev/null)))
.venv/installed-engine: requirements.txt requirements-engine.txt
	@test -n "$(PYTHON313)" || { echo "no Python 3.13 found: install it, or name it: make $@ PYTHON313=..." >&2; false; }
	$(PYTHON313) -m venv .venv/engine
	.venv/engine/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-engine.txt
	touch $@

# Microsoft's emulator of Blob Storage needs Node.js. No lock file: it would record where packages were fetched.
.venv/installed-azurite: Makefile
	npm install --prefix .venv/azurite --no-package-lock --no-audit --no-fund --loglevel=error azurite@3.37.0
	touch $@

clean:
	rm -rf .venv build demo-data .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
