# The commands of this project; `make help` lists them. Everything but test-gateway needs only Rust, Go, a C compiler and make.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

.PHONY: help demo test test-long test-gateway bench fuzz lint crds image

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Show the product at work on a real control plane, started on this machine
	@cargo run --package cluster --bin demo

test: ## Run all tests: pure, router, real control plane
	@tests/run

test-long: ## Run the long forms of some checks: thousands of Workspaces, half an hour of faults (an hour and a half)
	@tests/run --long

test-gateway: ## Test the routes on a real istiod and Envoy (also needs Linux, Python with pip, unshare and ip)
	@tests/run --gateway

bench: ## Measure CPU per review, CPU and writes per Workspace, memory, time to start
	@cargo run --quiet --release --package bench

# Seconds for each target.
FUZZ_TIME ?= 600

fuzz: ## Fuzz reviews, templates and headers, ten minutes each (needs a nightly compiler and cargo-fuzz)
	cd tests/fuzz && for target in admission_review template header_value; do \
		mkdir -p corpus/$$target; cargo +nightly fuzz run --fuzz-dir . --release $$target corpus/$$target seeds/$$target -- -max_total_time=$(FUZZ_TIME) -timeout=10 -rss_limit_mb=1024 || exit 1; \
	done

lint: ## Check formatting, lints and, where cargo-deny is installed, licences and dependencies
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	if cargo deny --version >/dev/null 2>&1; then cargo deny check bans licenses sources; else echo "cargo-deny is not installed: licences and dependencies not checked"; fi

crds: ## Write crds/*.yaml anew from the Rust types
	REGENERATE_CRDS=1 cargo test --quiet --package crds --test crd_files files_are_generated

image: ## Build the static binary as the Dockerfile does, without Docker
	.ci/build-image
