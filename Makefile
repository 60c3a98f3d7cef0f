# Every target brings what it needs: uv, Python 3.13 and the pinned dependencies, all inside this folder.
# `make demo` and `make test` are the two commands of README.md.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

UV := .uv/bin/uv
export UV_CACHE_DIR ?= $(CURDIR)/.cache/uv
export UV_PYTHON_INSTALL_DIR ?= $(CURDIR)/.uv/python
export UV_NO_PROGRESS := 1
export PIP_CACHE_DIR ?= $(CURDIR)/.cache/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export SAM_CLI_TELEMETRY := 0
# Hundreds of processes start in a test run: whoever keeps no byte code compiles all modules in each of them.
export PYTHONDONTWRITEBYTECODE :=
# Fast tests compute. Slow ones wait, for deliveries and for processes to start: three at once keep two processors busy.
AT_ONCE := -n 2
SLOW_AT_ONCE := -n 3
# Their business is to reach every branch of flowlag and flowlag_stats. To trace the others would take a minute.
OF_THE_ARITHMETIC := tests/core tests/stats
WITH_OUR_TOOLS := PATH="$(CURDIR)/.venv/bin:$(CURDIR)/.uv/bin:$$PATH"

.PHONY: help setup demo check test build sam-local sam-local-shell arm64 system-deps clean format

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):[^#]*## /  make \1\t/' | expand -t 24

setup: .venv/.ready .build/layers/.ready ## bring uv, Python 3.13, the pinned packages and this machine's layers

demo: setup ## one whole run on the embedded AWS, with real packets
	.venv/bin/flowlag demo

check: setup ## format, lint, types, import contracts and the fast tests
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/pytest $(OF_THE_ARITHMETIC) $(AT_ONCE) --cov --cov-report=term
	.venv/bin/pytest -m "not slow" $(OF_THE_ARITHMETIC:%=--ignore=%) $(AT_ONCE)

test: check .venv-sam/.ready ## the whole gate: check, then every slow test
	.venv/bin/pytest -m slow $(SLOW_AT_ONCE)

build: .venv/.ready .venv-sam/.ready ## sam build, for both architectures
	$(WITH_OUR_TOOLS) ARCHITECTURE=arm64 .venv-sam/bin/sam build --build-dir .aws-sam/build
	$(WITH_OUR_TOOLS) ARCHITECTURE=x86_64 .venv-sam/bin/sam build --build-dir .aws-sam/build-x86_64 \
	  --parameter-overrides Architecture=x86_64

sam-local: setup .venv-sam/.ready ## every function by `sam local`, in containers, on the embedded AWS
	.venv/bin/python -m local.sam_local

sam-local-shell: setup .venv-sam/.ready ## a shell in which `sam local` finds all that it needs
	.venv/bin/python -m local.sam_local shell

arm64: .venv/.ready .venv-sam/.ready ## import the arm64 functions and layers on an emulated processor (root, Debian)
	$(WITH_OUR_TOOLS) ARCHITECTURE=arm64 .venv-sam/bin/sam build --build-dir .aws-sam/build
	.venv/bin/python -m local.sam_local.arm64 .aws-sam/build

format: .venv/.ready ## rewrite the code, and the template's queries, as `make check` wants them
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .
	.venv/bin/python -m local.named_queries

system-deps: ## Debian packages that only tests need; what lacks them skips, saying so
	bash .ci/system-deps

clean: ## remove everything that make made
	rm -rf .uv .venv .venv-sam .build .aws-sam .cache out .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(UV): requirements/uv.txt
	python3 -m venv .uv || python3 -m venv --without-pip .uv
	.uv/bin/python -m pip install -q --require-hashes -r requirements/uv.txt \
	  || python3 -m pip install -q --require-hashes --prefix .uv -r requirements/uv.txt \
	  || { echo 'flowlag: python3 has neither venv nor pip: install one of them (Debian: python3-venv), then run make again' >&2; exit 2; }
	touch $@

.venv/.ready: $(UV) requirements/dev.txt pyproject.toml .python-version
	$(UV) venv -q --allow-existing .venv
	$(UV) pip sync -q --python .venv --require-hashes requirements/dev.txt
	$(UV) pip install -q --python .venv --no-deps --no-build-isolation --editable .
	touch $@

.venv-sam/.ready: $(UV) requirements/sam.txt .python-version
	$(UV) venv -q --allow-existing .venv-sam
	$(UV) pip sync -q --python .venv-sam --require-hashes requirements/sam.txt
	touch $@

# ---- this machine's layers, by the makefiles that SAM runs on the way to AWS
THIS_MACHINE := $(patsubst arm64,aarch64,$(shell uname -m))-$(if $(filter Darwin,$(shell uname)),apple-darwin,manylinux_2_28)

# Folders count as sources: taking a module away touches nothing else.
sources = $(shell find $(1) -not -path '*/__pycache__*')

# $(call build-layer,FOLDER,LOGICAL ID): made aside under a name of its own, then put in its place
define build-layer
	@echo "building $@" && mkdir -p $(@D) && aside="$$(mktemp -d "$(CURDIR)/$(@D)/XXXXXX")" && trap 'rm -rf "$$aside"' EXIT \
	  && $(MAKE) -s -C $(1) build-$(2) ARTIFACTS_DIR="$$aside/layer" PLATFORM=$(THIS_MACHINE) \
	  && .venv/bin/python layers/pack.py "$$aside/layer" "$$aside/zip" && mv "$$aside/zip" $@
endef

# $(call layer,NAME,FOLDER,LOGICAL ID)
define layer
.build/layers/.ready: .build/layers/$(1).zip
.build/layers/$(1).zip: $$(call sources,$(2)) layers/pack.py | .venv/.ready
	$$(call build-layer,$(2),$(3))
endef

.build/layers/.ready:
	touch $@

$(eval $(call layer,core,layers/core,CoreLayer))
$(eval $(call layer,aws,layers/aws,AwsLayer))
$(eval $(call layer,arrow,layers/arrow,ArrowLayer))
$(eval $(call layer,stats,layers/stats,StatsLayer))
$(eval $(call layer,report,layers/report,ReportLayer))
$(eval $(call layer,sender,sender,SenderLayer))
