# The commands of this repository. `make demo` and `make test` are the two that the README names.
# Everything that a command needs from outside is named in a list under tests/ or bench/, and installed by tests/setup.

CARGO ?= cargo
PYTEST := target/venv/bin/python -m pytest -q
RELEASE := target/release/websockify
PRELOAD := target/preload/librebind.so
DESTDIR ?=
PREFIX ?= /usr
ROOT = $(DESTDIR)$(PREFIX)
# For systemd 253 and later: yes.
NOTIFY_RELOAD ?=
# Debian's own place is share/zsh/vendor-completions.
ZSH_COMPLETIONS ?= share/zsh/site-functions

.PHONY: demo build lint test unit gates record-instructions clients browser conformance bench bench-quick bench-recording \
    install packages package-test system-test clean

demo: build
	$(RELEASE) demo

build:
	tests/setup build
	$(CARGO) build --release --locked
	$(CARGO) preload

lint:
	tests/setup build
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	cd bench && $(CARGO) fmt --check && $(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items
	tests/house

# Everything, the quick before the slow. system-test takes root and a kernel that lets it boot containers.
test: unit gates package-test clients conformance browser system-test bench-quick

# Unit tests, properties, the fuzzers' corpora, and end to end with the real binary; and the rules of the web terminal.
unit:
	tests/setup build rust web
	$(CARGO) test --locked
	node --test tests/web/*.test.js

# What speed costs, in figures that do not depend on how busy the machine is: instructions and system calls.
gates: build
	tests/setup gates
	$(CARGO) build --release --locked --example codec_work --example guess_work
	$(PYTEST) -rP tests/gates

# After the codec has become better, or a change that is worth its price.
record-instructions: build
	tests/setup gates
	$(CARGO) build --release --locked --example codec_work
	PYTHONPATH=tests target/venv/bin/python -m gates.test_instructions

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

# All of it takes some twenty minutes, and wants the machine for itself. bench/results/ is what it leaves.
bench: build
	tests/setup bench
	cd bench && $(CARGO) run --release --locked -- --websockify ../$(RELEASE) --results results

bench-quick: build
	tests/setup bench
	cd bench && $(CARGO) run --release --locked -- --websockify ../$(RELEASE) --quick

# As root: it makes a file system, to make it stand still.
bench-recording: build
	tests/setup bench
	cd bench && $(CARGO) run --release --locked -- --recording --websockify ../$(RELEASE)

# What a package holds, of what `make build` has built.
install:
	@for built in $(RELEASE) $(PRELOAD); do \
	    test -x $$built || { echo "make install: $$built is not there: run 'make build' first" >&2; exit 1; }; \
	done
	install -D -m 0755 $(RELEASE) $(ROOT)/bin/websockify
	install -D -m 0755 rebind/rebind $(ROOT)/bin/rebind
	install -D -m 0644 $(PRELOAD) $(ROOT)/lib/websockify/rebind.so
	install -d $(ROOT)/lib/systemd/system-generators $(ROOT)/lib/systemd/user-generators
	ln -sf ../../../bin/websockify $(ROOT)/lib/systemd/system-generators/websockify-generator
	ln -sf ../../../bin/websockify $(ROOT)/lib/systemd/user-generators/websockify-generator
	install -D -m 0644 -t $(ROOT)/lib/systemd/system systemd/websockify*.target systemd/websockify@.*
	install -D -m 0644 -t $(ROOT)/lib/systemd/user systemd/user/*
ifeq ($(NOTIFY_RELOAD),yes)
	install -D -m 0644 -t $(ROOT)/lib/systemd/system/websockify@.service.d systemd/notify-reload.conf
	install -D -m 0644 -t $(ROOT)/lib/systemd/user/websockify@.service.d systemd/notify-reload.conf
endif
	install -D -m 0644 -t $(ROOT)/lib/systemd/catalog systemd/websockify.catalog
	install -D -m 0644 -t $(ROOT)/lib/systemd/system-preset systemd/50-websockify.preset
	install -D -m 0644 -t $(ROOT)/lib/systemd/user-preset systemd/50-websockify.preset
	for section in 1 5 8; do \
	    install -D -m 0644 -t $(ROOT)/share/man/man$$section packaging/man/*.$$section && \
	    for page in packaging/man/*.$$section; do \
	        gzip -9nf $(ROOT)/share/man/man$$section/$${page##*/} || exit; \
	    done || exit; \
	done
	install -D -m 0644 packaging/completions/websockify.bash $(ROOT)/share/bash-completion/completions/websockify
	install -D -m 0644 -t $(ROOT)/$(ZSH_COMPLETIONS) packaging/completions/_websockify
	install -D -m 0644 -t $(ROOT)/share/fish/vendor_completions.d packaging/completions/websockify.fish
	install -D -m 0644 -t $(ROOT)/share/doc/websockify/examples config/*.toml
	for side in tcp http; do \
	    install -D -m 0644 packaging/haproxy/$$side.cfg $(ROOT)/share/doc/websockify/examples/haproxy-$$side.cfg || exit; \
	done
	install -d $(DESTDIR)/etc/websockify

# target/debian/*.deb and target/rpm/*.rpm, the same bytes for the same binary.
packages: build
	tests/setup packages
	packaging/build

package-test: packages
	$(PYTEST) tests/packages

# Debian 12 and 13, booted in containers, with the package installed. The first run fetches both, which takes some minutes.
system-test: packages
	tests/setup system
	$(PYTEST) tests/system

clean:
	$(CARGO) clean
