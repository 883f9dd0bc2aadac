# rdnet: build, run, test, install. GNU make; "make help" lists the targets.

MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: all help run test check lint limits man man-check bench bench-wsl-proxy fuzz install dist clean
.DEFAULT_GOAL := all

PREFIX ?= /usr/local
DESTDIR ?=
ARGS ?=

# What swift build makes and what comes of it: one file, static and stripped.
release := .build/release
static := -c release --static-swift-stdlib -Xswiftc -static-executable
binary := .build/rdnet
load := .build/rdnet-load
counting := .build/rdnet-counting
sources := $(shell find Sources Package.swift -type f)
load_sources := $(shell find Tests/Load Package.swift -type f)
counting_sources := $(shell find Tests/Counting -type f)

# $(call build,PRODUCT): builds without a word but for errors (the linker warns of static glibc).
define build
swift build $(static) --product $(1) >.build/$(1).log 2>&1 || \
	{ grep -aE 'error:|warning:' .build/$(1).log || cat .build/$(1).log; exit 1; } >&2
strip -o .build/$(1) $(release)/$(1)
endef

# $(call need,PACKAGE:COMMAND ...): installs the Debian packages whose commands are missing.
define need
missing=; for pair in $(1); do \
	PATH=$$PATH:/usr/sbin:/sbin command -v "$${pair#*:}" >/dev/null || missing+=" $${pair%:*}"; \
done; \
if [ -z "$$missing" ]; then :; \
elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	echo "installing:$$missing"; \
	log=$$(mktemp); \
	{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
		--no-install-recommends $$missing; } >"$$log" 2>&1 </dev/null || \
		{ cat "$$log"; rm "$$log"; exit 1; } >&2; \
	rm "$$log"; \
else echo "missing; as root: apt-get install$$missing" >&2; exit 1; \
fi
endef

build_tools := binutils:strip
test_tools := iproute2:ip iperf3:iperf3 curl:curl bind9-dnsutils:dig busybox:busybox udhcpc:udhcpc \
	tcpdump:tcpdump tshark:tshark iputils-ping:ping netcat-openbsd:nc nftables:nft ethtool:ethtool \
	procps:sysctl openssh-client:ssh openssh-server:sshd qemu-system-x86:qemu-system-x86_64 \
	user-mode-linux:linux.uml kmod:depmod xz-utils:xz logrotate:logrotate systemd:systemctl \
	systemd-container:systemd-nspawn
# Suites that boot guests with kernels of their own: by themselves, as each takes a processor whole.
guest_suites := "GuestMachine|VsockDistro"

## all (default): .build/rdnet, one static stripped file
all: $(binary)

$(binary): $(sources)
	@$(call need,$(build_tools))
	@mkdir -p .build
	@echo "building rdnet (a minute or two from nothing)"
	@$(call build,rdnet)

$(load): $(load_sources)
	@mkdir -p .build
	@$(call build,rdnet-load)

$(counting): $(sources) $(counting_sources)
	@mkdir -p .build
	@$(call build,rdnet-counting)

## run: rdnet up: a shell in a namespace whose only network is the engine; a report without a terminal
run: $(binary)
	@$(binary) up $(ARGS)

## test: all tests; the real-kernel ones need root
test: $(binary) $(load) $(counting)
	@$(call need,$(test_tools))
	@Tests/Guests/fetch.sh .build/guests
	@export RDNET_BINARY=$(CURDIR)/$(binary) RDNET_LOAD=$(CURDIR)/$(load) \
		RDNET_COUNTING=$(CURDIR)/$(counting); \
	if [ -n "$(ARGS)" ]; then swift test --disable-xctest $(ARGS); else \
		swift test --disable-xctest --skip $(guest_suites) && \
		swift test --disable-xctest --skip-build --filter $(guest_suites); \
	fi

## check: format, lengths, manual pages, build without warnings, tests
check: lint limits man-check test

## lint: swift format, no finding allowed
lint:
	@swift format lint --strict -r Package.swift Sources Tests

# A file is one idea: 300 lines as a rule, 400 at most.
limits:
	@find Sources Tests -name '*.swift' -exec wc -l {} + | awk '$$2 == "total" { next } \
		$$1 > 400 { print $$2 ": " $$1 " lines, 400 are allowed"; bad = 1; next } \
		$$1 > 300 { print $$2 ": " $$1 " lines, 300 are the rule" } END { exit bad }'

## man: renews the lists in the manual pages from the options
man: $(binary)
	@for page in man/*; do \
		$(binary) --man "$$page" >.build/page; \
		cmp -s .build/page "$$page" || { cat .build/page >"$$page"; echo "renewed $$page"; }; \
	done; rm -f .build/page

man-check: $(binary)
	@for page in man/*; do \
		$(binary) --man "$$page" | cmp -s - "$$page" || \
			{ echo "$$page: run make man" >&2; exit 1; }; \
	done

## bench: the figures, beside slirp4netns, passt and the bars; SCALE=1: cost against scale
bench: $(binary) $(load)
	@$(call need,iproute2:ip iperf3:iperf3 jq:jq procps:sysctl qemu-system-x86:qemu-system-x86_64 kmod:depmod xz-utils:xz)
	@RDNET_BINARY=$(CURDIR)/$(binary) RDNET_LOAD=$(CURDIR)/$(load) Tests/Bench/bench.sh $(ARGS)

## bench-wsl-proxy: throughput through wsl-proxy beside that without it; fails below 80 %
bench-wsl-proxy: $(binary)
	@$(call need,iproute2:ip iperf3:iperf3 jq:jq netcat-openbsd:nc)
	@RDNET_BINARY=$(CURDIR)/$(binary) Tests/Bench/wsl-proxy.sh

## fuzz: made-up octets for everything that parses, SECONDS=60 long
fuzz:
	@Tests/Fuzz/fuzz.sh $(ARGS)

## install: the file, a link for each role, the manual pages; DESTDIR= PREFIX=/usr/local
install: $(binary)
	@install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/share/man/man5" \
		"$(DESTDIR)$(PREFIX)/share/man/man8"
	@install -m 755 $(binary) "$(DESTDIR)$(PREFIX)/bin/rdnet"
	@$(binary) --list | while read -r role; do \
		ln -f "$(DESTDIR)$(PREFIX)/bin/rdnet" "$(DESTDIR)$(PREFIX)/bin/$$role"; \
	done
	@for page in man/*; do \
		install -m 644 "$$page" "$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/"; \
	done

## dist: a tarball to unpack at / of a distro: what install makes, service files, an example rdnet.conf
dist: $(binary)
	@tree=$$(mktemp -d); trap 'rm -rf "$$tree"' EXIT; \
	$(MAKE) install DESTDIR="$$tree" PREFIX=/usr/local; \
	cp -r .dist/. "$$tree"; \
	mkdir -p dist; \
	name=rdnet-$$($(binary) --version | cut -d' ' -f2)-linux-$$(uname -m).tar.gz; \
	tar -C "$$tree" --sort=name --mtime="@$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)}" \
		--owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --format=ustar -cf - \
		etc usr | gzip -9n >"dist/$$name"; \
	ls -l "dist/$$name" | awk '{ print $$9 ": " $$5 " octets" }'

## clean: everything that was made
clean:
	@rm -rf .build dist

help:
	@sed -n 's/^## //p' Makefile
