# Two commands are enough for most people: make up, make test.
# "make help" lists the rest.

VERSION  := $(shell sed -n 's/^## \[\([0-9.]*\)\].*/\1/p' CHANGELOG.md | head -n 1)
LDFLAGS  := -s -w -X main.version=$(VERSION)
GO       ?= go
TOOL     := $(GO) tool -modfile=tools/go.mod
ARGS     ?=
FUZZTIME ?= 60s

export CGO_ENABLED ?= 0

.PHONY: up build console test test-go test-console test-real deps lint format generate generated cross fuzz fuzz-smoke check bench help clean

up: build ## build, then watch this machine (as root for everything it can see): make up ARGS="--respond contain"
	./bin/minewarden up $(ARGS)

build: ## the static binary: bin/minewarden
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/minewarden ./cmd/minewarden

# The built console is committed, as the eBPF objects are: building the program needs no Node.js.
console: ## the browser part, into console/web/dist; needs Node.js 20 or later with npm
	cd console/web && npm ci --no-audit --no-fund && npm run types && npm run build

test: deps test-go test-console ## install what the tests need from Debian if it is missing, then run everything

test-go: ## the tests of the program
	CGO_ENABLED=1 $(GO) test -race -timeout 15m ./...

test-console: ## the tests of the browser part, in a browser too; needs Node.js 20 or later with npm
	@.ci/console

test-real: ## audits against real Nomad, Consul and Gitea, where these are on PATH
	MINEWARDEN_REAL=1 $(GO) test -count=1 -run Real -v ./audits/...

deps: ## what the tests need, from Debian
	@.ci/deps

# The linter's cache holds the paths of the clone that filled it, so each clone has its own.
lint: ## the linters of .golangci.yaml
	GOLANGCI_LINT_CACHE=$(CURDIR)/.cache/golangci-lint $(TOOL) golangci-lint run ./...

format: ## gofumpt
	$(TOOL) gofumpt -l -w $$(git ls-files '*.go' | grep -v bpfel)

generate: ## eBPF objects and the generated reference; needs clang and llvm-strip
	$(GO) generate ./...

generated: generate console ## fails when what is committed is not what would be generated
	git add --intent-to-add console/web/dist
	git diff --exit-code --stat -- '*.o' '*_bpfel.go' docs/reference console/web/src/api/schema.d.ts console/web/dist

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
	rm -rf bin dist .cache
