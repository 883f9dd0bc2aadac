# rdnet: build, run, test, install. GNU make; "make help" lists the targets.

MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: all always help run test check lint limits man man-check bench bench-port-proxy bench-wsl-proxy fuzz mutate install dist clean
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

# Only the compiler uses the module hashes. They differ with the directory of the build, and so does the build ID.
unneeded := -R .swift_modhash -R .note.gnu.build-id

# $(call build,PRODUCT): builds without a word but for errors (the linker warns of static glibc).
define build
swift build $(static) --product $(1) >.build/$(1).log 2>&1 || \
	{ grep -aE 'error:|warning:' .build/$(1).log || cat .build/$(1).log; exit 1; } >&2
strip $(unneeded) -o .build/$(1) $(release)/$(1)
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
	tcpdump:tcpdump tshark:tshark iputils-ping:ping iputils-tracepath:tracepath \
	traceroute:traceroute netcat-openbsd:nc nftables:nft ethtool:ethtool \
	dnsmasq-base:dnsmasq procps:sysctl openssh-client:ssh openssh-server:sshd qemu-system-x86:qemu-system-x86_64 \
	user-mode-linux:linux.uml kmod:depmod xz-utils:xz logrotate:logrotate systemd:systemctl \
	systemd-container:systemd-nspawn docker.io:dockerd podman:podman crun:crun \
	rootlesskit:rootlesskit uidmap:newuidmap socat:socat openssl:openssl git:git
# Files that people read: lint checks their spelling and white space.
prose := README.md Makefile Package.swift Sources Tests man .ci .dist
# Suites that boot guests with kernels of their own: by themselves, as each takes a processor whole.
guest_suites := "GuestMachine|VsockDistro"

## all (default): .build/rdnet, one static stripped file
all: $(binary)

# `make` writes the commit into the finished file, so that a new commit recompiles nothing. Empty without git.
.build/commit: always
	@mkdir -p .build
	@commit=$$([ ! -e .git ] || git rev-parse --short=12 HEAD 2>/dev/null || true); \
	if [ -n "$$commit" ] && [ -n "$$(git status --porcelain -uno)" ]; then commit+=-modified; fi; \
	printf '%s' "$$commit" >.build/commit.new; truncate -s 64 .build/commit.new; \
	cmp -s .build/commit.new .build/commit || mv .build/commit.new .build/commit
always:

$(binary): $(sources) .build/commit
	@$(call need,$(build_tools))
	@mkdir -p .build
	@echo "building rdnet (a minute or two from nothing)"
	@$(call build,rdnet)
	@objcopy --update-section rdnet_commit=.build/commit $(binary)

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

## lint: formatting, width of comments, trailing space, spelling, manual markup; no finding allowed
lint:
	@$(call need,mandoc:mandoc codespell:codespell)
	@swift format lint --strict -r Package.swift Sources Tests
	@! LC_ALL=C.UTF-8 grep -rnE --include='*.swift' '^.{101,}$$' Sources Tests | grep -E ':[0-9]+: *//' || \
		{ echo "lint: comments are at most 100 columns wide" >&2; exit 1; }
	@! grep -rnE --exclude-dir=doc --exclude-dir=corpus '[[:space:]]+$$' $(prose) || { echo "lint: trailing white space" >&2; exit 1; }
	@find $(prose) -type f ! -path '*/doc/*' ! -path '*/corpus/*' ! -name '*.svg' -exec codespell -L te,fo {} +
	@mandoc -T lint -W warning man/*

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
	@[ -n "$(ARGS)$(SCALE)$(PHASES)" ] || $(MAKE) --no-print-directory bench-port-proxy

## bench-port-proxy: port-proxy beside Docker's docker-proxy, where that is installed
bench-port-proxy: $(binary) $(load)
	@$(call need,iproute2:ip iperf3:iperf3 jq:jq)
	@RDNET_BINARY=$(CURDIR)/$(binary) RDNET_LOAD=$(CURDIR)/$(load) Tests/Bench/port-proxy.sh

## bench-wsl-proxy: throughput through wsl-proxy beside that without it; fails below 80 %
bench-wsl-proxy: $(binary)
	@$(call need,iproute2:ip iperf3:iperf3 jq:jq netcat-openbsd:nc)
	@RDNET_BINARY=$(CURDIR)/$(binary) Tests/Bench/wsl-proxy.sh

## fuzz: random bytes for every parser and the engine, SECONDS=60 for each target; ARGS: the targets
fuzz:
	@$(call need,iproute2:ip)
	@Tests/Fuzz/fuzz.sh $(ARGS)

## mutate: small faults in the packet path, one by one; fails if the tests miss 5 %; hours; ARGS: which
mutate:
	@Tests/mutate.sh $(ARGS)

# $(call put,DIRECTORY,FILES): installs files that nobody runs.
define put
install -d "$(prefix)/$(1)"; install -m 644 $(2) "$(prefix)/$(1)/"
endef
prefix = $(DESTDIR)$(PREFIX)

## install: the file, a link for each role (ALL_NAMES=1: ctl and up too), manual pages, shell completion, licenses; DESTDIR= PREFIX=/usr/local
install: $(binary)
	@install -d "$(prefix)/bin"
	@options=$(if $(ALL_NAMES),-a); cd "$(prefix)/bin"; \
	if [ up -ef rdnet ] || [ ctl -ef rdnet ]; then options=-a; fi; \
	install -m 755 "$(CURDIR)/$(binary)" rdnet; \
	"$(CURDIR)/$(binary)" --list | while read -r role; do \
		case $$options/$$role in /ctl|/up|/extcap) ;; *) ln -f rdnet "$$role" ;; esac; \
	done
	@$(call put,share/man/man5,man/*.5)
	@$(call put,share/man/man7,man/*.7)
	@$(call put,share/man/man8,man/*.8)
	@cd "$(prefix)/share/man/man8"; "$(CURDIR)/$(binary)" --list | while read -r role; do \
		case $$role in ctl|up|extcap) ;; *) echo ".so man8/rdnet-$$role.8" >"$$role.8" ;; esac; \
	done
	@d="$(prefix)/share"; install -d "$$d/bash-completion/completions" "$$d/zsh/site-functions" "$$d/fish/vendor_completions.d"; \
	"$(CURDIR)/$(binary)" --completion bash >"$$d/bash-completion/completions/rdnet"; \
	"$(CURDIR)/$(binary)" --completion zsh >"$$d/zsh/site-functions/_rdnet"; \
	"$(CURDIR)/$(binary)" --completion fish >"$$d/fish/vendor_completions.d/rdnet.fish"
	@$(call put,share/doc/rdnet,LICENSE .dist/usr/local/share/doc/rdnet/*)
	@$(call put,share/rdnet,.dist/usr/local/share/rdnet/*)

## dist: a tarball to unpack at / of a distro: what install makes, and service files
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
