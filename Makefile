# Everything that a developer does here. On a fresh machine: Python 3.11 or newer, make, Node 20.
#
#   make demo                watch the main job on a local Studio (FOR=90 ends by itself;
#                            HOST=space or HOST=notebook-instance for the other hosts,
#                            HOST=fleet for a whole account, seen from outside)
#   make test-fast           the unit tests: under a minute
#   make test                all tests
#   make lint                formatters, linters, types
#   make docs                the documentation, in build/docs
#   make bench               how fast, how light
#   make wheel               the wheel that users install
#   make dist                the sdist and the wheel of a release
#   make render              renews the files that the code writes: scripts, templates, dashboards, tables
#   make test-long           20,000 requests, 500 damaged records, 100 kills: an hour; prints the counts
#   make test-stack          a fleet on AWS: deploys the users' template to a stand-in of AWS
#   make test-situations     in use or not: all lines of the table, real servers and kernels
#   make upgrade             newer development dependencies, within what pyproject.toml allows
#   make pictures            renews the pictures of README and docs
#   make clean               back to a fresh clone

PYTHON ?= python3
# One worker a core, hyperthreads included. A module stays on one worker, with what it has set up,
# until another has nothing else to do.
PYTEST = $(BIN)/python -m pytest --numprocesses logical --dist worksteal
VENV := .venv
BIN := $(VENV)/bin
HOST ?= classic
FOR ?=
INSTALLED := $(VENV)/.installed

# Comes with JupyterLab's builder; with the lock file as it is.
JLPM := PATH="$(abspath $(BIN)):$$PATH" jlpm
PANEL := labextension
PANEL_INSTALLED := $(PANEL)/node_modules/.installed
BROWSER := $(PANEL)/ui-tests
BROWSER_INSTALLED := $(BROWSER)/node_modules/.installed

LIFECYCLE := $(BIN)/jupyter-sagemaker-autoshutdown lifecycle-config

# What `make test` consists of.
PARTS := test-python test-panel test-browser

.PHONY: all demo test test-fast test-long test-situations test-stack test-images $(PARTS) pictures lint docs format bench wheel dist \
	render upgrade clean system-packages

all: $(INSTALLED)

$(INSTALLED): pyproject.toml requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed to develop: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	@node --version >/dev/null || { echo "Node 20 or newer is needed to build the panel."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements-dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	touch $@

demo: $(INSTALLED)
	@$(BIN)/python -m tests.localstudio.demo --host $(HOST) $(if $(FOR),--for $(FOR))

# The parts run side by side, as each of them waits more than it works.
test: $(INSTALLED) $(PANEL_INSTALLED) $(BROWSER_INSTALLED) system-packages
	@MAKE="$(MAKE)" tests/run-parts.sh $(PARTS)

# In use or not: all lines of the table. `make test` tries a sample of them.
test-situations: $(INSTALLED)
	$(PYTEST) tests/e2e/situations -m ""

# A fleet on AWS: the stack that users deploy, in a stand-in of AWS on this machine.
test-stack: $(INSTALLED)
	$(PYTEST) tests/integration/fleet_on_aws -m ""

# What `make test` tries a sample of, at full length: an hour. -rP shows the counts.
test-long: $(INSTALLED)
	SAGEMAKER_AUTOSHUTDOWN_FUZZ=2000 SAGEMAKER_AUTOSHUTDOWN_DAMAGES=500 SAGEMAKER_AUTOSHUTDOWN_KILLS=100 \
		$(PYTEST) -rP --override-ini timeout=0 tests/integration/api/test_fuzz.py \
		tests/unit/costs/test_damage.py tests/integration/test_ledger_after_a_crash.py

test-fast: $(INSTALLED)
	$(PYTEST) tests/unit

# What tests need that pip can't install. Said, not installed, where that takes another's rights.
system-packages:
	@tests/install-system-packages.sh

test-python: $(INSTALLED) $(BROWSER_INSTALLED) system-packages
	$(PYTEST)

# The product in stand-ins of the images of the field.
test-images: $(INSTALLED) $(BROWSER_INSTALLED) system-packages
	$(PYTEST) tests/images

$(PANEL_INSTALLED): $(PANEL)/package.json $(PANEL)/yarn.lock $(INSTALLED)
	cd $(PANEL) && $(JLPM) install --immutable
	touch $@

$(BROWSER_INSTALLED): $(BROWSER)/package.json $(BROWSER)/yarn.lock $(INSTALLED)
	cd $(BROWSER) && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 $(JLPM) install --immutable
	touch $@

test-panel: $(PANEL_INSTALLED)
	cd $(PANEL) && $(JLPM) test

# In a real browser: JupyterLab 4, then Studio Classic's JupyterLab 3.6.
test-browser: $(BROWSER_INSTALLED) $(PANEL_INSTALLED) system-packages
	cd $(BROWSER) && $(JLPM) test
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m tests.images studio-classic-jupyterlab3 -- \
		sh -c 'cd $(BROWSER) && jlpm test'

# The pictures of README and docs. They show the installed panel, so build it first.
pictures: $(BROWSER_INSTALLED) $(PANEL_INSTALLED) system-packages
	cd $(BROWSER) && $(JLPM) docs

lint: $(INSTALLED) $(PANEL_INSTALLED) $(BROWSER_INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd $(PANEL) && $(JLPM) lint
	cd $(BROWSER) && $(JLPM) typecheck

# A warning, such as a link that leads nowhere, is an error.
docs: $(INSTALLED)
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --doctree-dir build/doctrees docs build/docs

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED)
	$(BIN)/python -m tests.benchmarks
	$(BIN)/python -m tests.benchmarks.bench_costs
	$(BIN)/python -m tests.benchmarks.bench_fleet
	$(BIN)/python -m tests.benchmarks.bench_rollout
	$(BIN)/python -m tests.e2e.situations

wheel: $(PANEL_INSTALLED)
	rm -rf dist
	cd $(PANEL) && $(JLPM) build:prod
	$(BIN)/uv build --wheel --python $(BIN)/python

# A build keeps a panel that is already there: run `make clean` before a release.
dist: $(PANEL_INSTALLED)
	rm -rf dist
	$(BIN)/uv build --python $(BIN)/python

# Tests compare these files with the code.
render: $(PANEL_INSTALLED)
	$(LIFECYCLE) template cloudformation --output lifecycle-config
	$(LIFECYCLE) template terraform --output lifecycle-config
	$(BIN)/python -m tests.generators.build_dashboard
	$(BIN)/python -m tests.generators.build_fleet_dashboard
	$(BIN)/python -m tests.generators.build_tables
	cd $(PANEL) && $(JLPM) generate:api

upgrade: $(INSTALLED)
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-emit-index-url \
		--custom-compile-command "make upgrade" --extra dev --output-file requirements-dev.txt pyproject.toml

clean:
	rm -rf $(VENV) .venvs build dist $(PANEL)/lib $(PANEL)/node_modules $(PANEL)/*.tsbuildinfo \
		$(BROWSER)/node_modules $(BROWSER)/test-results sagemaker_autoshutdown/labextension .mypy_cache .pytest_cache .ruff_cache .hypothesis \
		.import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
