# What people and CI run. Everything that is built goes to bin/.

GO ?= go
FUZZTIME ?= 20s
ROUNDS ?= 9
CLIENTS ?= 2000

export CGO_ENABLED = 0

version := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
commit := $(shell git rev-parse HEAD 2>/dev/null)
ldflags := -s -w -X main.version=$(version) -X main.commit=$(commit)
build := $(GO) build -trimpath -buildvcs=false

.PHONY: build demo test lint bench bench-fleet fuzz kernels docs clean bin/secretfs bin/secretfs-keys
.DEFAULT_GOAL := build

build: bin/secretfs bin/secretfs-keys

bin/secretfs bin/secretfs-keys:
	$(build) -ldflags '$(ldflags)' -o $@ ./cmd/$(@F)

# The version that go.mod pins, so that demo and tests need no package of it.
bin/sops: go.mod
	@echo "building the pinned sops (a minute or two the first time)"
	$(build) -o $@ github.com/getsops/sops/v3/cmd/sops

# A real server for the tests of the backend vault. Takes some minutes the first
# time, and is kept from then on.
bin/vault: tests/vaultd/build.sh
	@echo "building Vault and its PostgreSQL plugin for the tests (about five minutes the first time)"
	GO="$(GO)" tests/vaultd/build.sh bin

demo: bin/sops
	@tests/setup.sh demo
	@$(MAKE) --no-print-directory bin/secretfs
	bin/secretfs demo --sops bin/sops

# What the tests have Bitwarden's own clients do. Nothing of it is linked, and
# its install scripts are not run.
node := bin/node_modules
$(node)/@bitwarden/sdk-napi:
	npm install --prefix bin --ignore-scripts --no-audit --no-fund --no-save @bitwarden/sdk-napi@1.0.0

bw := bin/bw/node_modules
$(bw)/@bitwarden/cli:
	npm install --prefix bin/bw --ignore-scripts --no-audit --no-fund --no-save @bitwarden/cli@2026.6.0

# The tests mount what is built here, and encrypt with the pinned sops.
test bench: export SECRETFS_BIN = $(CURDIR)/bin/secretfs
test bench: export SECRETFS_SOPS = $(CURDIR)/bin/sops
test: export SECRETFS_BITWARDEN_SDK = $(CURDIR)/$(node)
test: export SECRETFS_BITWARDEN_CLI = $(CURDIR)/$(bw)
test: export SECRETFS_VAULT = $(CURDIR)/bin

test:
	@tests/setup.sh test
	@$(MAKE) --no-print-directory build bin/sops bin/vault $(node)/@bitwarden/sdk-napi $(bw)/@bitwarden/cli
	tests/run.sh

lint:
	tests/lint.sh

bench:
	@tests/setup.sh test
	@$(MAKE) --no-print-directory build bin/sops
	SECRETFS_BIN=$(CURDIR)/bin/secretfs SECRETFS_SOPS=$(CURDIR)/bin/sops \
	$(GO) test -count=1 -run '^$$' -bench . -benchtime $(ROUNDS)x -timeout 30m ./tests/bench -args -table $(CURDIR)/bin/bench.md

# An hour of 2,000 machines is simulated in a minute or so for each kind of server:
# five minutes.
bench-fleet:
	$(GO) test -count=1 -timeout 30m ./tests/fleet -args -clients $(CLIENTS) -table $(CURDIR)/bin/fleet.md; \
	status=$$?; cat bin/fleet.md; exit $$status

fuzz:
	FUZZTIME=$(FUZZTIME) tests/fuzz.sh

# Takes some minutes: QEMU emulates the processor.
kernels: export SECRETFS_BIN = $(CURDIR)/bin/secretfs
kernels: export SECRETFS_SOPS = $(CURDIR)/bin/sops
kernels: export SECRETFS_KERNELS = $(CURDIR)/bin/kernels
kernels:
	@tests/setup.sh kernels
	@$(MAKE) --no-print-directory build bin/sops
	tests/oldkernel/fetch.sh $(SECRETFS_KERNELS)
	$(GO) test -count=1 -v -timeout 60m ./tests/oldkernel

# Manual pages and completions, for packagers.
docs:
	$(GO) run -tags gendoc ./cmd/secretfs gendoc bin/man

clean:
	rm -rf bin
