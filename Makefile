# Everything that a developer does here. On a fresh machine: Python 3.11 or newer, make, Node 20.
#
#   make demo                watch the main job on a local Studio (FOR=90 ends by itself;
#                            HOST=space or HOST=notebook-instance for the other hosts)
#   make test                all tests
#   make lint                formatters, linters, types
#   make bench               how fast, how light
#   make wheel               the wheel that users install
#   make clean               back to a fresh clone

PYTHON ?= python3
# Real processes on a small machine: in CI what fails is tried once more, and the report says so.
RERUN := $(if $(CI),--reruns 1)
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

.PHONY: all demo test test-python test-images test-panel test-browser lint format bench wheel \
	clean system-packages

all: $(INSTALLED)

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed to develop: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	@node --version >/dev/null || { echo "Node 20 or newer is needed to build the panel."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -e '.[dev]'
	touch $@

demo: $(INSTALLED)
	@$(BIN)/python -m tests.localstudio.demo --host $(HOST) $(if $(FOR),--for $(FOR))

test: test-panel test-browser test-images test-python

# What tests need that pip can't install. Said, not installed, where that takes another's rights.
system-packages:
	@tests/install-system-packages.sh

test-python: $(INSTALLED) system-packages
	$(BIN)/python -m pytest $(RERUN) --ignore tests/images

# The product in stand-ins of the images of the field.
test-images: $(INSTALLED)
	$(BIN)/python -m pytest $(RERUN) tests/images

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

lint: $(INSTALLED) $(PANEL_INSTALLED) $(BROWSER_INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd $(PANEL) && $(JLPM) lint
	cd $(BROWSER) && $(JLPM) typecheck

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED)
	$(BIN)/python -m tests.benchmarks
	$(BIN)/python -m tests.benchmarks.bench_costs

wheel: $(PANEL_INSTALLED)
	rm -rf dist
	cd $(PANEL) && $(JLPM) build:prod
	$(BIN)/uv build --wheel --python $(BIN)/python

clean:
	rm -rf $(VENV) .venvs build dist $(PANEL)/lib $(PANEL)/node_modules $(PANEL)/*.tsbuildinfo \
		$(BROWSER)/node_modules $(BROWSER)/test-results sagemaker_autoshutdown/labextension .mypy_cache .pytest_cache .ruff_cache .hypothesis \
		.import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
