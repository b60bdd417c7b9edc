# Everything here needs only Go (see go.mod for the version). `make check` also uses the race detector where a C compiler is found.
SHELL     := /bin/bash
GO        ?= go
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT    ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
LDFLAGS   := -X main.version=$(VERSION) -X main.commit=$(COMMIT)
# With a time, Go now and then reports its own deadline as a failure (https://go.dev/issue/75804): what counts is a failing input.
FUZZTIME  ?= 4s
BENCHTIME ?= 1s
DATA      ?= ../shared/data

.DEFAULT_GOAL := help
.PHONY: help build demo readme test check format vet race fuzz modules bench bench-state bench-look bench-gateway bench-api bench-stream contain bench-ledger bench-hash bench-models bench-serve-memory soak faults deploy-check conformance eval fit clean console console-check browser

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

build: ## build bin/palladium, stamped with version and commit
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/palladium ./cmd/palladium

demo: build ## see a campaign found, explained and contained while it runs
	bin/palladium demo

readme: build ## put the output of the demo, trimmed, into README.md
	@mkdir -p out/demo
	@bin/palladium demo 2>/dev/null | awk -f .ci/readme.awk >out/demo/excerpt.txt
	@sed -e '/output:begin/,/output:end/ { /output:/!d }' -e '/output:begin/r out/demo/excerpt.txt' README.md >out/demo/README.md
	@mv out/demo/README.md README.md

test: ## run all tests
	$(GO) test ./...

check: format vet race modules ## everything a change must pass; archtest and the document links are among the tests
	@echo "check: passed"

format:
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "not formatted, run gofmt -w:"; echo "$$files"; exit 1; fi

vet:
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	cd bench/gateway && $(GO) vet . && $(GO) test .

# The packages that start goroutines, or whose tests do; what is sequential has nothing to race with.
race:
	$(GO) test -count=1 ./archtest
	@set -euo pipefail; \
	concurrent=$$($(GO) list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./... | while read -r dir; do \
		grep -qE 'go func|sync\.|atomic\.|\.Go\(' "$$dir"/*.go && echo "$$dir" || true; done); \
	if [ "$$($(GO) env CGO_ENABLED)" = 1 ] && command -v $$($(GO) env CC | cut -d' ' -f1) >/dev/null; then \
		set -x; $(GO) test -race -short $$concurrent; \
	else \
		echo "race: SKIPPED, the race detector needs a C compiler"; \
	fi

# Not part of check: what chance finds must not stop a change that did not cause it. The seeds of all targets are among the tests.
fuzz: ## run every fuzz target for FUZZTIME (4s)
	@set -uo pipefail; \
	{ grep -rl --include='*_test.go' '^func Fuzz' . || true; } | xargs -r -n1 dirname | sort -u | while read -r dir; do \
		for target in $$($(GO) test -list '^Fuzz' $$dir | grep '^Fuzz'); do \
			echo "fuzz $$dir $$target"; \
			out=$$(timeout 180 $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$dir 2>&1) && continue; \
			if grep -q 'Failing input written' <<<"$$out"; then echo "$$out"; exit 1; fi; \
			echo "  ended at its deadline without a failing input"; \
		done; \
	done

modules:
	$(GO) mod verify
	$(GO) mod tidy -diff

# GOGC as in cmd/palladium.
bench: ## run the benchmarks of every stage and the end-to-end figure
	GOGC=40 $(GO) test -short -run '^$$' -bench . -benchtime $(BENCHTIME) -benchmem -timeout 60m ./...

bench-state: ## measure the state of a million accounts; needs 6 GB of memory and some minutes
	GOGC=40 $(GO) test -run '^$$' -bench 'State/accounts=1000000$$' -benchtime 1x -timeout 60m ./app

bench-look: ## how long the detector is away for a look and a snapshot, with up to a million accounts; needs 4 GB of memory and some minutes
	GOGC=40 $(GO) test -run '^$$' -bench 'Look/accounts=1000+$$/group=1$$' -benchtime 1x -timeout 60m ./app
	GOGC=40 $(GO) test -run '^$$' -bench 'Look/accounts=10000$$/group=16$$' -benchtime 1x -timeout 60m ./app

bench-gateway: ## measure the gateway beside its peers; GOMODEL=FILE adds that one, ARGS goes to it
	bench/gateway/run $(ARGS)

bench-api: ## the slowest of a hundred answers of the operator's API: 10,000 campaigns, a campaign of 24,000 accounts
	$(GO) test ./app/office -run '^$$' -bench 'Queue|Campaign' -benchtime 200x -timeout 30m

bench-ledger: ## durable ledger entries a second
	$(GO) test ./proof/ledger/tlog -run '^$$' -bench Append -benchtime 50000x

contain: ## what a campaign still draws once measures are on, in the world's own time, with what is found while they are
	CONTAIN=1 $(GO) test -count=1 -timeout 60m -v ./app/serve/contain

bench-stream: ## observations a second through the embedded stream, and what each costs
	$(GO) test ./store/stream -run '^$$' -bench Stream/plain -benchtime 2000000x
	$(GO) test ./store/stream -run '^$$' -bench Stream/always -benchtime 50000x
	$(GO) test ./store/stream -run '^$$' -bench Encoding

bench-serve-memory: build ## memory of serve with ACCOUNTS (1000000) accounts seen; needs 6 GB of memory and some minutes
	PALLADIUM=$(CURDIR)/bin/palladium SERVE_ACCOUNTS=$(or $(ACCOUNTS),1000000) $(GO) test ./app/serve -run '^TestMemory$$' -v -count=1 -timeout 60m

soak: build ## serve at half its peak rate for SOAK (30m): memory, goroutines and p99 must stay
	PALLADIUM=$(CURDIR)/bin/palladium SERVE_SOAK=$(or $(SOAK),30m) $(GO) test ./app/serve -run '^TestSoak$$' -v -count=1 -timeout 60m

faults: ## what docs/FAULTS.md tells of, done again: kills, full disks, partitions; some minutes, as root
	STREAM_PARTITION=1 $(GO) test ./store/stream -run 'Killed|DiskFull|Partition|NobodyThere' -v -count=1
	LIVE_KILLS=50 $(GO) test ./app/live -run '^TestKill$$' -v -count=1
	$(GO) test ./cmd/palladium ./store/catalog -run 'Killed|Stopped' -v -count=1
	FLEET_DECISIONS=120 FLEET_TAKEOVERS=10 FLEET_KILLS=3 $(GO) test ./app/serve -run 'Fleet|Standby|Postgres' -v -count=1 -timeout 30m
	$(GO) test ./app/serving ./app/serve ./store/archive ./store/journal ./traffic/budget ./proof/ledger/tlog -run 'Kill|Dying|Roles|Full|CapsHold|Cut|Damage|Mends|Failing|GoesOn' -v -count=1

deploy-check: ## image file, compose file, unit, chart and alert rules by their linters; skips those that cannot be had
	deploy/check

bench-models: build ## inspect pickles of 400 MB, compare models of 2.2 GB: time and memory; needs 5 GB of disk
	PALLADIUM=$(CURDIR)/bin/palladium $(GO) test ./app/provenance -run '^$$' -bench Large -benchtime 1x -timeout 30m

bench-hash: ## compare hashing with openssl and the Python reference
	conformance/oms/bench

conformance: ## see the gateway through real clients, signatures beside the Python reference, exports by their schemas; skips what cannot be had
	conformance/gateway/run || [ $$? = 77 ]
	conformance/oms/run || [ $$? = 77 ]
	conformance/schemas/run

eval: build ## measure on worlds with fixed seeds and write docs/EVALUATION.md
	bin/palladium world evaluate --data $(DATA) --out docs/EVALUATION.md

fit: build ## fit the weights of the extraction score anew and write rules/extraction.json
	bin/palladium world fit $(if $(wildcard $(DATA)),--data $(DATA)) --out rules/extraction.json

# The only targets that use Node (20.19 or later) and npm. What they build is committed, so that building palladium needs neither.
console: ## build the web console anew, into console/dist
	cd console/ui && npm ci && npm run build

console-check: ## is console/dist what console/ui builds? types, unit tests, API shapes; skips where npm cannot be had
	console/ui/tools/check

browser: ## drive the console in a real browser, keyboard and accessibility included; needs Chromium and npm. PALLADIUM_URL=URL for one that runs
	console/ui/tools/browser

clean: ## remove what was built
	rm -rf bin
