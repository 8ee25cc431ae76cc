# What a newcomer needs: `make run` and `make test`. Both do all their set-up.

GO      ?= go
TOOLS   := $(CURDIR)/.tools
PG      := $(GO) run ./internal/store/storetest/withpg --
PROGRAM := bin/postern
STATICCHECK_VERSION := v0.8.2
STATICCHECK := $(TOOLS)/staticcheck-$(STATICCHECK_VERSION)

# Tests wait, for databases, leases and processes, as much as they compute: one package
# more at a time than there are processors keeps these busy.
AT_ONCE := -p $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

# These begin first, in this order, so that none of them is what all others are waited
# for with in the end.
LONGEST := $(addprefix ./internal/,fence iam server attacks store) ./cmd/postern .

# What has seventy processes of its own, and faults that have to happen while they get
# on, runs by itself.
ALONE := ./internal/chaos
OTHERS := set -e; all=$$($(GO) list ./...); others=$$(echo "$$all" | grep -v /internal/chaos$$); set -x;

# Modules of their own, so that what they bring is only with those who ask for it.
MODULES := posterngrpc posternotel

# Everything is built as the program is installed, so that a run compiles it once.
export GOFLAGS     := -trimpath
export CGO_ENABLED := 0

.PHONY: run build test race chaos torture lint tidy bench fuzz generate web web-test browser picture proxies clean

run: ## a development server on localhost:7070, its data in postern-dev.db
	$(GO) run ./cmd/postern dev

build: ## the program as it is installed, bin/postern: one file that needs no C library
	$(GO) build -ldflags '-s -w' -o $(PROGRAM) ./cmd/postern

# What these compile is vetted by make lint.
test: web-test proxies ## everything, a real PostgreSQL included
	@$(OTHERS) $(PG) $(GO) test -vet=off $(AT_ONCE) -timeout 30m $(LONGEST) $$others
	$(GO) test -vet=off -timeout 20m $(ALONE)
	@set -e; for m in $(MODULES); do (cd $$m && $(GO) test -vet=off -timeout 10m ./...); done
	@$(MAKE) --no-print-directory browser

web: web/node_modules ## build the console into internal/console/dist; what it makes is committed
	cd web && npm run --silent types && npm run --silent build

web-test: web/node_modules ## the console's source, and that what is committed is what it builds
	cd web && npm run --silent types && npm run --silent check && npm run --silent fresh && npm test --silent

browser: web/node_modules ## the console in Chromium; pictures of every screen in web/pictures
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends chromium; } || { echo "missing: chromium (Debian package chromium)"; exit 1; }
	$(GO) build -o $(TOOLS)/postern-browser ./cmd/postern
	$(PG) node --test --test-concurrency=3 --test-reporter=spec web/browser/*.test.mjs

picture: ## the README's picture, from the browser test that looks at what is on it
	$(GO) build -o $(TOOLS)/postern-browser ./cmd/postern
	$(PG) node --test --test-name-pattern=README web/browser/screens.test.mjs
	cp web/pictures/readme-light.png docs/pictures/account-light.png
	cp web/pictures/readme-dark.png docs/pictures/account-dark.png

proxies: ## nginx, Caddy and HAProxy, which the gateway's recipes are tested with
	@.ci/proxies

web/node_modules: web/package-lock.json
	@node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || a == 20 && b >= 19 ? 0 : 1)' || \
		{ echo "the console's tests need Node 20.19 or later (https://nodejs.org); make run needs Go alone"; exit 1; }
	cd web && npm install --no-save --no-audit --no-fund # what the lock says; npm ci wants the builds for other systems listed too
	@touch $@

# SQLite, which is C translated to Go with its own locks, and the C library that came
# with it are not watched: nothing of theirs is shared but through the driver, which
# is. Watching them took most of the time of every test on SQLite.
UNWATCHED := $(patsubst %,-gcflags=%=-race=false,modernc.org/sqlite/lib modernc.org/libc/... modernc.org/memory)

race: proxies ## the same under the race detector: slow ones shortened, on PostgreSQL alone above the store, and without programs that it does not watch
	@$(OTHERS) $(PG) env CGO_ENABLED=1 $(GO) test -vet=off $(AT_ONCE) -race $(UNWATCHED) -short -timeout 60m $(LONGEST) $$others
	CGO_ENABLED=1 $(GO) test -vet=off -race $(UNWATCHED) -short -timeout 20m $(ALONE)
	@set -e; for m in $(MODULES); do (cd $$m && CGO_ENABLED=1 $(GO) test -vet=off -race $(UNWATCHED) -short -timeout 10m ./...); done

chaos: proxies ## real processes and a real PostgreSQL under faults, one to two minutes; a part of test
	$(GO) test -count 1 -timeout 20m -v ./internal/chaos

torture: proxies ## the same until ten million verifications, five thousand revocations and a thousand kills count
	$(GO) test -count 1 -timeout 90m -v ./internal/chaos -args -torture

lint: $(STATICCHECK)
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "not gofmt-clean"; exit 1; }
	$(GO) mod tidy -diff
	@set -e; for m in . $(MODULES); do (cd $$m && set -x && $(GO) vet ./... && $(STATICCHECK) ./...); done

tidy: ## the requirements of all modules, after a change of one
	@set -e; for m in . $(MODULES); do (cd $$m && $(GO) mod tidy); done

$(STATICCHECK):
	mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) $(GO) install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)
	mv $(TOOLS)/staticcheck $@

bench: ## the figures of docs/benchmarks.md: ratios within one run, on a disk
	$(GO) test -run '^$$' -bench 'VerifyRatio|Apply|Load1M|Weight|NearMiss' -benchtime 1x -timeout 20m ./internal/replica
	$(GO) run ./cmd/postern bench
	$(GO) test -run '^$$' -bench VerifierRatio -benchtime 1x -timeout 20m .
	POSTERN_TEST_CLUSTER_DIR=$${TMPDIR:-/tmp} $(PG) $(GO) test -run '^$$' -bench RevokeWith500Verifiers -benchtime 1x -timeout 5m .
	POSTERN_TEST_CLUSTER_DIR=$${TMPDIR:-/tmp} $(PG) $(GO) test -run '^$$' -bench VerifyUsage -benchtime 1x -timeout 20m ./internal/server
	$(GO) test -run '^$$' -bench Touch -timeout 20m ./internal/usage
	POSTERN_TEST_CLUSTER_DIR=$${TMPDIR:-/tmp} $(PG) $(GO) test -run '^$$' -bench CreateKey -benchtime 40x -timeout 20m ./internal/store
	POSTERN_TEST_CLUSTER_DIR=$${TMPDIR:-/tmp} $(PG) $(GO) test -run '^$$' -bench 'Report|UsagePage' -benchtime 5x -timeout 20m ./internal/store
	POSTERN_TEST_CLUSTER_DIR=$${TMPDIR:-/tmp} $(PG) $(GO) test -run '^$$' -bench Inventory -benchtime 1x -timeout 20m ./internal/store
	POSTERN_TEST_CLUSTER_DIR=$${TMPDIR:-/tmp} $(PG) $(GO) test -run '^$$' -bench Lists -benchtime 50x -timeout 60m ./internal/server
	POSTERN_TEST_CLUSTER_DIR=$${TMPDIR:-/tmp} $(PG) $(GO) test -run '^$$' -bench StartUp -benchtime 5x -timeout 20m ./internal/store
	POSTERN_TEST_CLUSTER_DIR=$${TMPDIR:-/tmp} $(PG) $(GO) test -run '^$$' -bench . -benchtime 1x -timeout 20m ./internal/fence

fuzz: ## each fuzz test for half a minute
	@set -e; for pkg in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 30s $$pkg; \
		done; done

generate: ## rewrite what is generated: OpenAPI, references, golden files, the methods of the Go client
	$(GO) test ./internal/server ./internal/config ./internal/cli ./internal/audit -run Golden -update
	$(GO) test ./internal/clientgen -run Golden -update # from the OpenAPI document that was just written

clean:
	rm -rf $(TOOLS)
