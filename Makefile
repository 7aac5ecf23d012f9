# Every target needs only Python >= 3.11, make and a package index; `make` alone lists them.
# PYTHON=…  the interpreter to build .venv from        ARGS=…  more arguments for pytest (make test, test-long)

VENV := .venv
BIN := $(VENV)/bin
PACKAGES := $(VENV)/.packages-installed
PROJECT := $(VENV)/.project-installed
JARS := .servers/kafka/libs
CODE := stream_worker producers models tests bench
KERNEL := $(wildcard models/native/*.[ch])

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-long check format servers bench spikes floods simulate mutants replay screenshots lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(PROJECT) ## make .venv with the locked packages and this project in it

demo: $(PROJECT) ## see it work: the main job on servers from wheels (ARGS="--duration 60s")
	@$(BIN)/stream-worker demo $(ARGS)

test: $(PROJECT) ## run the tests against the best servers that are here
	$(BIN)/pytest -n $(CORES) --dist loadgroup $(ARGS)

test-long: $(PROJECT) ## run the tests that take minutes each: more of what `make test` does in small
	$(BIN)/pytest -m long -n $(CORES) --dist loadgroup $(ARGS)

check: $(PROJECT) ## format, lint, types, layers, spelling, docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/pytest -q tests/meta/test_docs.py tests/meta/test_house_rules.py tests/meta/test_names.py

format: $(PROJECT) ## rewrite the code the way `make check` wants it
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

servers: $(JARS)/.complete ## fetch Apache Kafka for the tests (needs Java 17+ and Maven; 43 MB)

bench: $(PROJECT) ## measure one worker beside a raw read of the same topic (ARGS="--mentions 500000")
	@$(BIN)/python -m bench.throughput $(ARGS)

CORES ?= 2
spikes: $(PROJECT) ## measure the detector on simulated crises beside the rules people ship (ARGS="--brands 100")
	@$(BIN)/python -m bench.spikes $(ARGS)

floods: $(PROJECT) ## send floods of bots, and crises, through the repeat and author rules (ARGS="--seed 702")
	@$(BIN)/python -m bench.floods $(ARGS)

HISTORIES ?= 1000
simulate: $(PROJECT) ## run the step machines through hostile histories (HISTORIES=1000)
	$(BIN)/python -m tests.simulation --histories $(HISTORIES) $(ARGS)

mutants: $(PROJECT) ## break the design in every way we know; the simulator must name each (ARGS="--only late")
	$(BIN)/python -m tests.simulation.mutants --jobs $(CORES) $(ARGS)

replay: $(PROJECT) ## replay 100 recorded histories on a real Redis, a folder and an S3 server
	$(BIN)/python -m tests.simulation.replay $(ARGS)

screenshots: $(PROJECT) ## take docs/images/*.png of the page anew (needs Chromium and chromedriver)
	@$(BIN)/python -m tests.integration.api.screenshots

lock: ## work out requirements/*.txt again from pyproject.toml (needs uv)
	$(COMPILE) --extra all --group dev -o requirements/dev.txt
	$(COMPILE) --group build --constraints requirements/dev.txt -o requirements/run.txt
	$(COMPILE) --extra daily --group build --constraints requirements/dev.txt -o requirements/daily.txt

clean: ## remove .venv, .servers, caches and builds
	rm -f models/native/kernel.so models/native/kernel.dylib models/native/kernel.dll
	rm -rf $(VENV) .servers .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- how ----

COMPILE := uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header
UV := $(shell command -v uv 2>/dev/null)
# The first interpreter that is new enough; PYTHON=… overrules it.
PYTHON ?= $(shell for it in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$it -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$it && break; done)
INSTALL := $(if $(UV),VIRTUAL_ENV=$(VENV) uv pip install --quiet --compile-bytecode,$(BIN)/python -m pip install --quiet --disable-pip-version-check)

$(PACKAGES): requirements/dev.txt
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed; name one: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3" >&2; exit 78; }
	@$(if $(UV),,$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv module (on Debian: apt-get install python3-venv)" >&2; exit 78; })
	@echo "make: packages of requirements/dev.txt into $(VENV)"
	@rm -rf $(VENV)
	@$(if $(UV),uv venv --quiet --python "$(PYTHON)" $(VENV),$(PYTHON) -m venv $(VENV))
	@$(INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

$(PROJECT): $(PACKAGES) pyproject.toml hatch_build.py $(KERNEL)
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(JARS)/.complete: tests/servers/kafka.pom.xml
	@command -v java >/dev/null && command -v mvn >/dev/null || { \
	  echo "make servers: Java 17+ and Maven (mvn) are needed; without them tests use Docker or embedded servers" >&2; exit 69; }
	@rm -rf $(JARS)
	mvn --batch-mode --quiet --file $< dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(CURDIR)/$(JARS)
	@touch $@
