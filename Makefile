# make demo    hear Haro work: a hydrophone's day in fast motion, no network needed
# make run     listen to Orcasound's public hydrophones until Ctrl-C
# make test    the whole test suite        make check   lint, types, architecture
PYTHON ?= python3
HARO := .venv/bin/haro

.PHONY: demo run test check format train clean

demo: .venv/installed
	$(HARO) demo

run: .venv/installed
	$(HARO) run

test: .venv/installed-dev
	.venv/bin/python -m pytest

check: .venv/installed-dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

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

clean:
	rm -rf .venv build demo-data .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
