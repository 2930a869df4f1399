# The project's commands. A fresh machine needs cargo, make, python3 (with venv) and the package registries.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test bench-revert test-matrix envoy lint ci

# Builds stay outside the clone where possible, so that a new clone is warm: unless CARGO_TARGET_DIR says otherwise.
CACHE := $(if $(CARGO_TARGET_DIR),,$(shell \
  dir="$${XDG_CACHE_HOME:-$${HOME:-/nowhere}/.cache}/serin/target"; mkdir -p "$$dir" 2>/dev/null && [ -w "$$dir" ] && echo "$$dir"))
ifneq ($(CACHE),)
export CARGO_TARGET_DIR := $(CACHE)
endif
TARGET := $(or $(CARGO_TARGET_DIR),target)

# Installs Envoy on first use; ENVOY=/path/of/envoy skips that.
WITH_ENVOY := ENVOY="$$(scripts/envoy)"; export ENVOY

# 1.36 has no stats access logger: a test shows what is then told.
MATRIX ?= 1.36.2 1.37.0 1.38.3 1.39.3 1.40.0
RUNS ?= 10

help: ## Show the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: ## Release v2, then a broken v3, through four real Envoys under load (about a minute)
	$(WITH_ENVOY); cargo build --locked --bin serin --example demo; "$(TARGET)/debug/examples/demo"

test: ## Run all tests, against real Envoys too
	$(WITH_ENVOY); cargo test --workspace --locked

bench-revert: ## Measure the time from a bad version's first failed request to its weight being 0 everywhere
	$(WITH_ENVOY); cargo build --locked --release --bin serin --example demo; \
	  "$(TARGET)/release/examples/demo" --runs $(RUNS)

test-matrix: ## Run the end-to-end tests against every supported Envoy
	for version in $(MATRIX); do \
	  ENVOY="$$(env -u ENVOY scripts/envoy "$$version")"; export ENVOY ENVOY_VERSION="$$version"; \
	  echo "== Envoy $$version"; cargo test --locked --test e2e; \
	done

envoy: ## Install Envoy into .tools/ and print its path
	@scripts/envoy

lint: ## Check format, lints, protos and licences
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	buf="$$(scripts/tool buf)/lib/bin/buf"; "$$buf" lint proto
	if cargo deny --version >/dev/null 2>&1; then cargo deny --offline check licenses bans sources; fi
	scripts/dependencies

ci: ## What must pass before a change lands
	.ci/run
