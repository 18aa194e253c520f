# Weft. `make help` lists the targets.
SHELL := /bin/bash
GO ?= go
BIN := bin/weft
# Packages whose tests need root, the kernel and Debian's tools; they print why when they skip.
export GOFLAGS ?=

.DEFAULT_GOAL := help
.PHONY: help build lab lab-down check test generate lint fuzz fuzz-plane bench bench-api conformance deps deps-test clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}'

build: ## build bin/weft
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN) ./cmd/weft

lab: deps build ## (root) build, start the one-machine lab, and show distributed routing working
	./$(BIN) lab up
	./$(BIN) lab verify

lab-down: build ## (root) remove the lab and everything of it
	./$(BIN) lab down

check: ## the quick loop: format, vet, linters, tests without root
	@scripts/check

test: deps-test build ## (root) install what the tests need, run all of them
	@scripts/test

lint: ## gofmt, go vet, staticcheck and our own rules
	@scripts/check lint

generate: ## remake generated code (BPF objects, protobuf, reference pages); needs clang and protoc
	@scripts/generate

bench: build ## (root) the data plane against the kernel's own limits, as ratios
	@scripts/bench

bench-api: build ## the API against the disk's limit and a real Neutron; ARGS="-sizes 0,5000 -each 1s -json"
	@$(GO) run ./test/benchapi $(ARGS)

conformance: deps-test build ## (root) Tempest's and Neutron's API suites against a server of its own
	@scripts/conformance

fuzz: ## run each fuzz target for FUZZTIME (10s)
	@scripts/fuzz

fuzz-plane: ## (root) compare the BPF programs with internal/forward on PACKETS (10,000,000) random frames
	@scripts/fuzz-plane

deps: ## (root) install what the lab needs
	@scripts/deps lab

deps-test: ## (root) install what the tests need
	@scripts/deps test

clean: ## remove what was built
	rm -rf bin .bin
