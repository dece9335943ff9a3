# The commands of this repository. `make demo` and `make test` are the two that the README names.
# Everything that a command needs from outside is named in a list under tests/ or bench/, and installed by tests/setup.

CARGO ?= cargo
PYTEST := target/venv/bin/python -m pytest -q
RELEASE := target/release/websockify
DESTDIR ?=
PREFIX ?= /usr

.PHONY: demo build lint test unit clients browser conformance bench bench-quick install clean

demo: build
	$(RELEASE) demo

build:
	tests/setup build
	$(CARGO) build --release --locked

lint:
	tests/setup build
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	cd bench && $(CARGO) fmt --check && $(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items
	tests/house

# Everything, from the quickest to the slowest.
test: unit clients conformance browser bench-quick

# Unit tests, properties, the fuzzers' corpora, and end to end with the real binary.
unit:
	tests/setup build rust
	$(CARGO) test --locked

clients: build
	tests/setup clients
	$(PYTEST) tests/clients

conformance: build
	tests/setup conformance
	$(CARGO) build --release --locked --example echo
	$(PYTEST) tests/conformance

browser: build
	tests/setup browser
	$(PYTEST) tests/browser

bench: build
	tests/setup bench
	cd bench && $(CARGO) run --release --locked -- --websockify ../$(RELEASE)

bench-quick: build
	tests/setup bench
	cd bench && $(CARGO) run --release --locked -- --websockify ../$(RELEASE) --quick

install:
	@test -x $(RELEASE) || { echo "make install: $(RELEASE) is not there: run 'make build' first" >&2; exit 1; }
	install -D -m 0755 $(RELEASE) $(DESTDIR)$(PREFIX)/bin/websockify
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/websockify/examples config/*.toml

clean:
	$(CARGO) clean
