# Thin on purpose: each target is a line of cargo or a script. As root on Debian 12 or 13, `make demo` and `make test` need nothing beforehand.

CARGO := $(shell command -v cargo || echo $(or $(CARGO_HOME),$(HOME)/.cargo)/bin/cargo)

.PHONY: help install build demo demo-down test check bench soak generated sample

help:
	@echo "make demo        bring up three real hypervisors and drain one (KEEP=1 leaves them up)"
	@echo "make demo-down   remove every trace of the demo"
	@echo "make test        everything: format, lints, documentation, and all tests, the lab's included"
	@echo "make bench       how fast it is, beside its peers, in the same run (BTRPLACE=folder of instances, HTOOLS=fleets to plan besides)"
	@echo "make soak        a thousand cutovers of servers with local disks, some two hours (CUTOVERS=n, SEED=n)"
	@echo "make generated   write anew what is generated and checked in"
	@echo "make sample      after a new migration of the database: write the sample that later ones are tried on"

install:
	@sh tests/lab/install.sh

build: install
	$(CARGO) build --workspace --bins

demo: build
	$(CARGO) run --quiet -p drover-tests --bin drover-demo -- $(if $(KEEP),--keep)

demo-down: build
	$(CARGO) run --quiet -p drover-tests --bin drover-lab -- down --name demo

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --workspace --no-deps

# The documentation's examples first, so that the run ends with the summary of the tests proper.
test: build check
	@sh tests/lab/install.sh --conversion
	$(CARGO) test --workspace --doc
	$(CARGO) test --workspace --lib --bins --tests --no-fail-fast

bench:
	@sh tests/lab/install.sh --bench
	$(CARGO) build --release --workspace --bins
	$(CARGO) run --release --quiet -p drover-tests --bin drover-bench -- $(if $(BTRPLACE),--btrplace $(BTRPLACE)) $(foreach file,$(HTOOLS),--htools $(file))

soak: build
	$(CARGO) run --quiet -p drover-tests --bin drover-soak -- $(if $(CUTOVERS),--cutovers $(CUTOVERS)) $(if $(SEED),--seed $(SEED))

generated: build
	target/debug/drover-scheduler openapi > scheduler/openapi.json
	target/debug/drover man docs/man
	INSTA_UPDATE=always $(CARGO) test -p drover-notifier
	UPDATE_EXPECT=1 $(CARGO) test -p drover-tests --test scenarios

# Not a part of `generated`: the sample of a version is what that version wrote.
sample: build
	$(CARGO) test -p drover-scheduler --test store -- --ignored write_the_sample
