# What a developer says here. The virtual environment makes itself, and again when its inputs change.

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3.14 python3,$(shell command -v $(name))))
VENV := .venv
READY := $(VENV)/.ready
DYNALITE := build/dynalite/.ready
AXE := build/axe/.ready
TYPESCRIPT := build/typescript/.ready
LOWEST := build/lowest/.ready
REDOC := build/redoc/package/LICENSE
STATIC := s3import/server/page/static
HTMX := 4.0.1
PICO := 2.1.1
REDOC_VERSION := 2.5.4
RUN := $(VENV)/bin/python -m
unexport PYTHONDONTWRITEBYTECODE # where it is set, each process that a test starts would compile everything again

.DEFAULT_GOAL := help
.PHONY: help demo page docs vendor test unit lowest lint dist sbom check bench study format fixtures constraints clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## import a small dump from a real S3 endpoint into a real PostgreSQL, and show what happened
	@$(RUN) demo

page: $(READY) ## show the page with some accounts in it, one import under way; PAGE_PORT=8000 to choose the port
	@$(RUN) demo.page

test: $(READY) $(DYNALITE) $(AXE) $(TYPESCRIPT) ## every test; ARGS="-k lease" narrows them
	$(RUN) pytest $(ARGS)

unit: $(READY) ## the tests that need no database, server or process and compute little, within seconds
	$(RUN) pytest -m "not integration" $(ARGS)

lowest: $(LOWEST) ## the quick tests, and an import, with the lowest releases that pyproject.toml allows
	rm -f build/lowest/dump.db
	build/lowest/bin/s3import migrate --account tidewater --source fixtures/dump/tidewater --database sqlite:///build/lowest/dump.db || test $$? = 3
	build/lowest/bin/s3import verify --account tidewater --database sqlite:///build/lowest/dump.db
	build/lowest/bin/python -m pytest -m "not integration" --ignore tests/docs $(ARGS)

lint: $(READY) ## format, style, types and layers, without changing anything
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo

docs: $(READY) $(REDOC) ## the documentation as a site, in build/site: every warning and every broken link fails
	rm -rf build/site
	$(RUN) sphinx -q -n -W --keep-going --fresh-env --doctree-dir build/doctrees docs build/site
	$(RUN) docs.check build/site

dist: $(READY) ## wheel and source distribution in dist/, checked as a package index would
	rm -rf dist
	$(RUN) hatchling build -d dist
	$(VENV)/bin/check-wheel-contents dist/*.whl
	$(VENV)/bin/twine check --strict dist/*

sbom: ## the Python packages of the image as a CycloneDX document, in build/sbom.cdx.json
	rm -rf build/image build/sbom && $(PYTHON) -m venv build/image && $(PYTHON) -m venv build/sbom
	build/image/bin/python -m pip install --quiet --constraint constraints.txt '.[service]'
	build/sbom/bin/python -m pip install --quiet --constraint constraints.txt cyclonedx-bom
	build/sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible \
		--output-file build/sbom.cdx.json build/image

check: lint test lowest dist docs ## everything that CI asks for

bench: $(READY) ## measure against the databases' own tools; ARGS="--help" lists the choices
	@$(RUN) benchmarks $(ARGS)

study: $(READY) ## how long imports take here, beside other tools, into docs/explanation/timing.md; ARGS=--quick: under five minutes
	@$(RUN) pip install --quiet --constraint constraints.txt --editable '.[dev,study]'
	@$(RUN) study $(ARGS)

format: $(READY) ## put the code in shape
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

vendor: ## fetch the page's htmx and Pico from npm again, as tests/server/page/test_vendored.py names them
	rm -rf build/vendor && mkdir -p build/vendor
	npm pack --silent --pack-destination build/vendor htmx.org@$(HTMX) @picocss/pico@$(PICO)
	for pack in build/vendor/*.tgz; do mkdir $$pack.d && tar xzf $$pack -C $$pack.d; done
	cp build/vendor/htmx.org-*.d/package/dist/htmx.min.js $(STATIC)/htmx-$(HTMX).min.js
	cp build/vendor/htmx.org-*.d/package/LICENSE $(STATIC)/htmx-$(HTMX).LICENSE.txt
	cp build/vendor/picocss-*.d/package/css/pico.classless.min.css $(STATIC)/pico-$(PICO).classless.min.css
	cp build/vendor/picocss-*.d/package/LICENSE.md $(STATIC)/pico-$(PICO).LICENSE.md

fixtures: $(READY) ## write fixtures/dump again
	$(RUN) fixtures.make

constraints: ## pin the newest releases that pyproject.toml allows, and for make lowest the lowest
	rm -rf build/newest build/oldest
	$(PYTHON) -m venv build/newest
	build/newest/bin/python -m pip install --quiet --editable '.[dev,sbom,study]'
	{ sed -n '/^#/p' constraints.txt; build/newest/bin/python -m pip freeze --exclude-editable; } > build/constraints.txt
	mv build/constraints.txt constraints.txt
	$(PYTHON) -m venv build/oldest
	$(PYTHON) -m tests.bounds > build/bounds.txt
	build/oldest/bin/python -m pip install --quiet --constraint build/bounds.txt --editable '.[test]'
	{ sed -n '/^#/p' constraints-lowest.txt; build/oldest/bin/python -m pip freeze --exclude-editable; } > build/constraints.txt
	mv build/constraints.txt constraints-lowest.txt

clean: ## remove whatever was made here
	rm -rf $(VENV) build dist *.egg-info .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(LOWEST): pyproject.toml constraints-lowest.txt
	rm -rf build/lowest && $(PYTHON) -m venv build/lowest
	build/lowest/bin/python -m pip install --quiet --constraint constraints-lowest.txt --editable '.[test]'
	@touch $@

$(DYNALITE): PACKAGE := dynalite@4
$(AXE): PACKAGE := axe-core@4.14
$(TYPESCRIPT): PACKAGE := typescript@7 @types/node@22
$(DYNALITE) $(AXE) $(TYPESCRIPT):
	@mkdir -p $(@D)
	@if npm install --silent --no-audit --no-fund --prefix $(@D) $(PACKAGE); then touch $@; \
	else echo "$(PACKAGE) could not be installed with npm: what needs it is skipped, or fails where CI is set"; fi

$(REDOC):
	rm -rf build/redoc && mkdir -p build/redoc
	npm pack --silent --pack-destination build/redoc redoc@$(REDOC_VERSION)
	tar xzf build/redoc/redoc-$(REDOC_VERSION).tgz -C build/redoc

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "s3import needs Python 3.11 or later: make PYTHON=...")'
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@
