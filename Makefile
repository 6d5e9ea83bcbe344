# Two commands are enough for most people: make up, make test.
# "make help" lists the rest.

VERSION  := $(shell sed -n 's/^## \[\([0-9.]*\)\].*/\1/p' CHANGELOG.md | head -n 1)
LDFLAGS  := -s -w -X main.version=$(VERSION)
GO       ?= go
TOOL     := $(GO) tool -modfile=tools/go.mod
ARGS     ?=
FUZZTIME ?= 60s

export CGO_ENABLED ?= 0

.PHONY: up build test test-real deps lint format generate generated cross fuzz fuzz-smoke race check bench help clean

up: build ## build, then watch this machine (as root for everything it can see): make up ARGS="--respond contain"
	./bin/minewarden up $(ARGS)

build: ## the static binary: bin/minewarden
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/minewarden ./cmd/minewarden

test: deps ## install what the tests need from Debian if it is missing, then run everything
	CGO_ENABLED=1 $(GO) test -race -timeout 15m ./...

test-real: ## audits against real Nomad, Consul and Gitea, where these are on PATH
	MINEWARDEN_REAL=1 $(GO) test -count=1 -run Real -v ./audits/...

deps: ## what the tests need, from Debian
	@.ci/deps

lint: ## the linters of .golangci.yaml
	$(TOOL) golangci-lint run ./...

format: ## gofumpt
	$(TOOL) gofumpt -l -w $$(git ls-files '*.go' | grep -v bpfel)

generate: ## eBPF objects and the generated reference; needs clang and llvm-strip
	$(GO) generate ./...

generated: generate ## fails when what is committed is not what would be generated
	git diff --exit-code -- '*.o' '*_bpfel.go' docs/reference

cross: ## both architectures
	GOARCH=amd64 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o dist/minewarden-linux-amd64 ./cmd/minewarden
	GOARCH=arm64 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o dist/minewarden-linux-arm64 ./cmd/minewarden
	GOARCH=arm64 $(GO) vet ./...

fuzz: ## every fuzz target for FUZZTIME
	@.ci/fuzz $(FUZZTIME)

fuzz-smoke: ## every fuzz target for 300 inputs
	@.ci/fuzz 300x

check: deps generated lint cross test fuzz-smoke ## all that CI asks

bench: ## the figures of README; see bench/README.md
	$(MAKE) -C bench

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 14

clean: ## what was built
	rm -rf bin dist
