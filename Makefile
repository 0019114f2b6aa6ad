# The commands of a developer. A fresh machine needs Python 3.11 or newer, make and Node 20.
#
#   make demo                watch the main job on a local Studio (FOR=90 ends by itself;
#                            HOST=space or HOST=notebook-instance for the other hosts,
#                            HOST=fleet for a whole account, seen from outside)
#   make test-fast           run the unit tests: under a minute
#   make test                run all tests
#   make lint                check format, style and types
#   make docs                build the documentation in build/docs
#   make bench               measure speed and memory; in use or not, beside other tools: hours
#   make wheel               build the wheel that users install
#   make dist                build the sdist and the wheel of a release
#   make render              renew the generated files: scripts, templates, dashboards, tables
#   make test-long           try 20,000 requests, 500 damaged records, 5,000 replays, 100 kills: an hour
#   make test-stack          deploy the fleet's stack to a stand-in of AWS
#   make test-situations     in use or not: try all lines of the table with real servers and kernels
#   make upgrade             upgrade the development dependencies within pyproject.toml's bounds
#   make pictures            renew the pictures of README and docs
#   make clean               remove everything that was built

PYTHON ?= python3
# Two workers per core, because most tests wait more than they work. A module stays on one worker, with
# its fixtures, unless another worker is idle.
PYTEST = $(BIN)/python -m pytest --numprocesses auto --dist worksteal
VENV := .venv
BIN := $(VENV)/bin
HOST ?= classic
FOR ?=
INSTALLED := $(VENV)/.installed

# Comes with JupyterLab's builder. It installs exactly the lock file.
JLPM := PATH="$(abspath $(BIN)):$$PATH" jlpm
PANEL := labextension
PANEL_INSTALLED := $(PANEL)/node_modules/.installed
PANEL_BUILT := sagemaker_autoshutdown/labextension/package.json
BROWSER := $(PANEL)/ui-tests
BROWSER_INSTALLED := $(BROWSER)/node_modules/.installed

LIFECYCLE := $(BIN)/jupyter-sagemaker-autoshutdown lifecycle-config

# The parts of `make test`.
PARTS := test-python test-panel test-browser

# Some machines forbid Python from keeping compiled modules. Each start of a Jupyter server then compiles
# all of its own, for 2 CPU seconds, and the tests start hundreds of servers.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: all demo test test-fast test-long test-situations test-stack test-images $(PARTS) pictures lint docs format bench wheel dist \
	render upgrade clean system-packages

all: $(PANEL_BUILT)

$(INSTALLED): pyproject.toml requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed to develop: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	@node --version >/dev/null || { echo "Node 20 or newer is needed to build the panel."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements-dev.txt
	SKIP_JUPYTER_BUILDER=1 $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	touch $@

demo: $(PANEL_BUILT)
	@$(BIN)/python -m tests.localstudio.demo --host $(HOST) $(if $(FOR),--for $(FOR))

# The parts run side by side, because each of them waits more than it works.
test: $(PANEL_BUILT) $(BROWSER_INSTALLED) system-packages
	@MAKE="$(MAKE)" tests/run-parts.sh $(PARTS)

# In use or not: tries all lines of the table. `make test` tries a sample.
test-situations: $(PANEL_BUILT)
	$(PYTEST) tests/e2e/situations -m ""

# Deploys the fleet's stack, as users do, to a stand-in of AWS on this machine.
test-stack: $(PANEL_BUILT)
	$(PYTEST) tests/integration/fleet_on_aws -m ""

# `make test` tries a sample of this; the full length takes an hour. -rP shows the counts.
test-long: $(PANEL_BUILT)
	SAGEMAKER_AUTOSHUTDOWN_FUZZ=2000 SAGEMAKER_AUTOSHUTDOWN_DAMAGES=500 SAGEMAKER_AUTOSHUTDOWN_KILLS=100 \
		REPLAYS=5000 $(PYTEST) -rP --override-ini timeout=0 tests/integration/api/test_fuzz.py \
		tests/unit/costs/test_damage.py tests/unit/costs/test_replay_agrees.py tests/integration/test_ledger_after_a_crash.py

test-fast: $(PANEL_BUILT)
	$(PYTEST) tests/unit

# Programs for tests that pip can't install. If root rights are missing, this prints their names instead.
system-packages:
	@tests/install-system-packages.sh

test-python: $(PANEL_BUILT) $(BROWSER_INSTALLED) system-packages
	$(PYTEST)

# Tries the product in stand-ins of SageMaker's images.
test-images: $(PANEL_BUILT) $(BROWSER_INSTALLED) system-packages
	$(PYTEST) tests/images

$(PANEL_INSTALLED): $(PANEL)/package.json $(PANEL)/yarn.lock $(INSTALLED)
	cd $(PANEL) && $(JLPM) install --immutable
	touch $@

$(BROWSER_INSTALLED): $(BROWSER)/package.json $(BROWSER)/yarn.lock $(INSTALLED)
	cd $(BROWSER) && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 $(JLPM) install --immutable
	touch $@

# The panel that JupyterLab loads. The second line copies it to the environment.
$(PANEL_BUILT): $(shell find $(PANEL)/src $(PANEL)/style $(PANEL)/schema -type f) \
		$(PANEL)/package.json $(PANEL)/tsconfig.build.json $(PANEL)/webpack.config.js | $(PANEL_INSTALLED)
	cd $(PANEL) && $(JLPM) build:prod
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	touch $@

test-panel: $(PANEL_INSTALLED)
	cd $(PANEL) && $(JLPM) test

# In a real browser, with JupyterLab 4, then with Studio Classic's JupyterLab 3.6.
test-browser: $(PANEL_BUILT) $(BROWSER_INSTALLED) system-packages
	cd $(BROWSER) && $(JLPM) test
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m tests.images studio-classic-jupyterlab3 -- \
		sh -c 'cd $(BROWSER) && jlpm test'

# Renews the pictures of README and docs.
pictures: $(PANEL_BUILT) $(BROWSER_INSTALLED) system-packages
	cd $(BROWSER) && $(JLPM) docs

lint: $(INSTALLED) $(PANEL_INSTALLED) $(BROWSER_INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd $(PANEL) && $(JLPM) lint
	cd $(BROWSER) && $(JLPM) typecheck

# A warning, such as a broken link, is an error.
docs: $(INSTALLED)
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --doctree-dir build/doctrees docs build/docs

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(PANEL_BUILT) $(BROWSER_INSTALLED) system-packages
	$(BIN)/python -m tests.benchmarks
	$(BIN)/python -m tests.benchmarks.bench_space
	$(BIN)/python -m tests.benchmarks.bench_costs
	$(BIN)/python -m tests.benchmarks.bench_fleet
	$(BIN)/python -m tests.benchmarks.bench_rollout
	$(BIN)/python -m tests.e2e.situations
	cd $(BROWSER) && $(JLPM) bench

wheel: $(PANEL_BUILT)
	rm -rf dist
	$(BIN)/uv build --wheel --python $(BIN)/python

dist: $(PANEL_BUILT)
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
