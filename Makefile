# What can be done with gpt-load, a target each. `make` lists them.

CARGO ?= cargo
PREFIX ?= /usr/local
# The image that docker-run pulls; docker-build makes it under the same name.
VERSION := $(shell sed -n '/^version/{s/.*"\(.*\)"/\1/p;q;}' Cargo.toml)
IMAGE ?= ghcr.io/tbphp/gpt-load:$(VERSION)
LOCAL_IMAGE ?= gpt-load:local
BINARY := $(or $(CARGO_TARGET_DIR),target)/release/gpt-load

.DEFAULT_GOAL := help
.PHONY: help build build-all clean run dev demo check test test-hard test-ui coverage \
	build-pgo bench bench-instr bench-compare bench-scale bench-goodput loom miri lint fmt tidy deps audit install uninstall \
	docker-build docker-run docker-run-local compose-up compose-up-dev compose-down \
	health stats reset-keys blacklist validate-keys

##@ Use

run: ## Serve with .env and keys.txt; makes them from the examples if they are missing
	@scripts/run.sh release

demo: ## See it work: no key, no network; a mock provider with good and bad keys behind gpt-load
	@scripts/demo.sh

health: ## Ask the running server how it is
	@scripts/ask.sh GET /health

stats: ## Ask it for its figures
	@scripts/ask.sh GET /stats

blacklist: ## Ask it which keys are out, and why
	@scripts/ask.sh GET /blacklist

reset-keys: ## Let it read the keys file anew and forget every blacklisting
	@scripts/ask.sh POST /reset-keys

validate-keys: build ## Test every key of the keys file against the upstream
	@scripts/validate-keys.py

install: build ## Install the binary into PREFIX/bin (/usr/local)
	install -Dm755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/gpt-load

uninstall: ## Remove it from there
	rm -f $(DESTDIR)$(PREFIX)/bin/gpt-load

##@ Containers

docker-build: ## Build the image from this source
	docker build --build-arg GPT_LOAD_COMMIT="$$(git rev-parse --short=12 HEAD 2>/dev/null)" -t $(LOCAL_IMAGE) .

docker-run: ## Run the published image with .env and keys.txt
	@scripts/docker-run.sh $(IMAGE)

docker-run-local: docker-build ## The same with the image that docker-build made
	@scripts/docker-run.sh $(LOCAL_IMAGE)

compose-up: ## Start with Docker Compose, in the background
	@scripts/prepare.sh
	GPT_LOAD_USER=$$(id -u):$$(id -g) docker compose up -d --build

compose-up-dev: ## A development setting: the mock provider behind gpt-load, logs in the foreground
	docker compose --profile dev up --build gpt-load-dev mock-provider

compose-down: ## Stop what Compose started
	docker compose --profile dev down

##@ Develop

build: ## Build the release binary
	$(CARGO) build --release --locked

build-all: ## Build it for every target that this machine can build for, into target/dist
	@scripts/build-all.sh

dev: ## Serve a debug build with debug logs
	@scripts/run.sh dev

check: ## What must hold before a commit: format, lints, docs, fast tests
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" $(CARGO) doc --locked --workspace --no-deps --document-private-items
	@scripts/lint-scripts.sh
	$(CARGO) test --locked --workspace --lib --bins --tests

test: ## All tests: Rust's, and the official SDKs through the running server
	$(CARGO) test --locked --workspace
	@scripts/sdk-tests.sh

test-hard: ## What it takes to be trusted: hostile clients, failing providers, floods; long, and ends with a table
	@scripts/test-hard.sh

test-ui: ## The dashboard in a real browser (Debian's Chromium); SCREENSHOTS=1 makes the README's pictures anew
	@scripts/ui-tests.sh

coverage: ## Line coverage of the Rust tests, into target/llvm-cov/html (needs cargo-llvm-cov)
	@$(CARGO) llvm-cov --version >/dev/null 2>&1 || { echo "coverage needs cargo-llvm-cov: cargo install cargo-llvm-cov"; exit 1; }
	$(CARGO) llvm-cov --locked --workspace --html

build-pgo: ## A release build laid out by what a busy gpt-load does; two whole builds (needs llvm-profdata)
	@scripts/build-pgo.sh

bench: ## Benches of the hot path
	$(CARGO) bench --locked --bench pool

bench-instr: ## Instructions per request, event and lease against benches/budget.toml (needs valgrind)
	@scripts/bench-instr.py

bench-compare: ## gpt-load beside nginx, HAProxy and bare hyper; takes a quarter of an hour (ARGS=--quick: a look)
	@scripts/bench-compare.py $(ARGS)

bench-scale: ## Ten thousand streams over fifty upstreams, and a million keys
	@scripts/bench-scale.py
	$(CARGO) bench --locked --bench scale

bench-goodput: ## What a pool of limited keys gives, into docs/goodput.md; takes nine minutes
	$(CARGO) bench --locked --bench goodput

loom: ## Every interleaving of the atomics of the key pool, upstreams' health and the retry budget
	$(CARGO) test --release --locked --lib --features loom loom_

miri: ## The key pool's tests in Miri, which sees undefined behaviour (needs a nightly Rust with it)
	@$(CARGO) +nightly miri --version >/dev/null 2>&1 || { echo "miri needs a nightly toolchain: rustup toolchain install nightly --component miri,rust-src"; exit 1; }
	PROPTEST_CASES=4 MIRIFLAGS="-Zmiri-disable-isolation" $(CARGO) +nightly miri test --locked --lib -- \
		keys::bitmap keys::ration keys::rotation keys::pool keys::file keys::quoted keys::escaped --skip million

lint: ## Lints of Rust and of the scripts
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@scripts/lint-scripts.sh

fmt: ## Format the code
	$(CARGO) fmt --all

tidy: ## Make Cargo.lock match Cargo.toml, changing no other version
	$(CARGO) update --workspace

deps: ## Fetch everything that builds and tests need
	$(CARGO) fetch --locked
	@scripts/sdk-setup.sh

audit: ## Licences, advisories, duplicates and sources of the dependencies (needs cargo-deny)
	@$(CARGO) deny --version >/dev/null 2>&1 || { echo "audit needs cargo-deny: cargo install cargo-deny"; exit 1; }
	$(CARGO) deny --locked check

clean: ## Remove everything that was built
	$(CARGO) clean

help: ## This list
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
