# The project's commands. A fresh machine needs cargo, make, python3 (with venv) and the package registries.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test bench-revert bench-detect bench-switch bench-sticky bench-fanout bench-ingest bench-translate bench-analysis \
  soak-transitions simulate fuzz test-matrix envoy lint ci

# Builds stay outside the clone where possible, so that a new clone is warm: unless CARGO_TARGET_DIR says otherwise.
CACHE := $(if $(CARGO_TARGET_DIR),,$(shell \
  dir="$${XDG_CACHE_HOME:-$${HOME:-/nowhere}/.cache}/serin/target"; mkdir -p "$$dir" 2>/dev/null && [ -w "$$dir" ] && echo "$$dir"))
ifneq ($(CACHE),)
export CARGO_TARGET_DIR := $(CACHE)
# Cargo tells by the time of a file whether it has changed, so what one clone built must not be taken for another's: a
# clone that comes to the cache builds the project's own packages anew, and nothing else.
OWN := -p serin -p serin-testbed -p serin-fuzz
$(shell [ "$$(cat "$(CACHE)/clone" 2>/dev/null)" = "$(CURDIR)" ] || \
  { for profile in dev release; do cargo clean --quiet --locked --target-dir "$(CACHE)" --profile "$$profile" $(OWN) >&2; done; \
    echo "$(CURDIR)" > "$(CACHE)/clone"; })
endif
TARGET := $(or $(CARGO_TARGET_DIR),target)

# Installs Envoy on first use; ENVOY=/path/of/envoy skips that.
WITH_ENVOY := ENVOY="$$(scripts/envoy)"; export ENVOY
# The same for the gRPC libraries of Python (GRPCIO) and, where it is, Node (GRPC_JS).
WITH_GRPC := GRPCIO="$$(scripts/grpcio)" GRPC_JS="$$(scripts/grpc-js)"; export GRPCIO GRPC_JS
# A real Prometheus (PROMETHEUS), where there is one to be had.
WITH_PROMETHEUS := PROMETHEUS="$$(scripts/prometheus)"; export PROMETHEUS

# 1.36 has no stats access logger: a test shows what is then told.
MATRIX ?= 1.36.2 1.37.0 1.38.3 1.39.3 1.40.0
RUNS ?= 10
STREAMS ?= 1000,5000,10000
PROXIES ?= 5000
TRANSITIONS ?= 500
SEEDS ?= 10000
RELEASES ?= 2000
PARTS ?= abcd
TIME ?= 3600
SEED ?= 1

help: ## Show the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

demo: ## Release v2, then a broken v3, through four real Envoys under load (about a minute)
	$(WITH_ENVOY); cargo build --locked --bin serin --example demo; "$(TARGET)/debug/examples/demo"

test: ## Run all tests, with real Envoys, gRPC clients and a Prometheus too
	$(WITH_ENVOY); $(WITH_GRPC); $(WITH_PROMETHEUS); cargo test --workspace --locked

bench-revert: ## Measure the time from a bad version's first failed request to its weight being 0 everywhere
	$(WITH_ENVOY); cargo build --locked --release --bin serin --example demo; \
	  "$(TARGET)/release/examples/demo" --runs $(RUNS)

bench-detect: ## Measure how long errors that are five times the baseline's live at 5 % of 1,000 requests per second
	$(WITH_ENVOY); cargo test --locked --release --test e2e -- --ignored --exact --nocapture judged::bench_detect

bench-switch: ## Measure the time in which twenty Envoys switch, from the first one's first answer to the last one's
	$(WITH_ENVOY); cargo test --locked --release --test e2e -- --ignored --exact --nocapture ways::switch::switch_of_twenty

bench-sticky: ## Take 20,000 users up a ladder of shares and back; not one may flip on the way up (two minutes)
	$(WITH_ENVOY); cargo test --locked --release --test e2e -- --ignored --exact --nocapture ways::sticky::sticky_ladder

bench-fanout: ## Measure the time from a push to its receipt by each of 1,000 to 10,000 streams, and its cost
	cargo build --locked --release -p serin -p serin-testbed --bin serin-testbed --example fanout_server; \
	  "$(TARGET)/release/serin-testbed" fanout bench --server "$(TARGET)/release/examples/fanout_server" \
	  --streams $(STREAMS) --runs $(RUNS)

bench-ingest: ## Measure what it costs to take in the reports of PROXIES proxies with 200 clusters each, every second
	cargo build --locked --release --example ingest
	"$(TARGET)/release/examples/ingest" --proxies $(PROXIES)

soak-transitions: ## Make 500 transitions of every kind under load; not one request may fail (TRANSITIONS, SEED; ten minutes)
	$(WITH_ENVOY); cargo build --locked --release --bin serin --example soak; \
	  "$(TARGET)/release/examples/soak" --transitions $(TRANSITIONS) --seed $(SEED)

bench-translate: ## Measure what a change costs in a world of 10,000 services
	cargo build --locked --release --example bench_translate
	for fleets in 1 100; do "$(TARGET)/release/examples/bench_translate" --fleets "$$fleets"; done

bench-analysis: ## Measure the judgement: false reverts, delays, false advances, and peers on the same traffic (RELEASES, PARTS)
	cargo build --locked --release --example bench_analysis
	"$(TARGET)/release/examples/bench_analysis" --releases $(RELEASES) --parts $(PARTS) --seed $(SEED)

simulate: ## Run the protocol's core against simulated proxies, 10,000 stories in virtual time (SEEDS)
	PROPTEST_CASES=$(SEEDS) cargo test --locked --lib xds::simulation -- --nocapture

# On the stable compiler: fuzz/instrumented has it count branches. New inputs and failures land in .run/fuzz; `make test`
# replays what is kept in fuzz/corpus.
fuzz: ## Feed requests that coverage chooses to the frame reader and the protocol's core (TIME seconds each; an hour)
	RUSTC_WORKSPACE_WRAPPER="$(CURDIR)/fuzz/instrumented" cargo build --locked --profile fuzz -p serin-fuzz \
	  --features libfuzzer
	for target in frames story; do \
	  mkdir -p ".run/fuzz/$$target"; \
	  "$(TARGET)/fuzz/$$target" -max_total_time=$(TIME) -print_final_stats=1 -artifact_prefix=.run/fuzz/ \
	    ".run/fuzz/$$target" "fuzz/corpus/$$target"; \
	done

test-matrix: ## Run the end-to-end tests against every supported Envoy
	$(WITH_PROMETHEUS); for version in $(MATRIX); do \
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
