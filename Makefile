# ociruntime: build, demonstrate, test, install. Every target can be repeated and asks nothing.
#
#   make demo      build it, then run a container and show what it did
#   make test      linters, type checker and all tests (root, or sudo, for those on the kernel)
#   make field     search for what runc and crun agree on and ociruntime does not (HOURS=1)
#   make distro-test  the same on fresh Debians, as a new user would begin
#   make conformance  check a runtime against the specification (RUNTIME=/usr/sbin/runc)
#   make docs      the documentation as a site, build/site/html
#   make install   to PREFIX (/usr/local), below DESTDIR if that is set
#   make dev       quick: build/ociruntime runs this checkout, edits to .py files show at once

PYTHON := /usr/bin/python3
PREFIX := /usr/local
DESTDIR :=
VENV := .venv
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)
JOBS := $(shell nproc)

BUILD_PACKAGES := python3-dev python3-venv gcc libc6-dev meson ninja-build pkg-config \
	busybox-static iproute2 procps
TEST_TOOLS := libcap-dev libseccomp-dev strace uidmap util-linux
TEST_PACKAGES := $(TEST_TOOLS) crun runc docker.io containerd tini iptables nftables \
	containernetworking-plugins redis-tools podman catatonit slirp4netns debootstrap mmdebstrap \
	man-db zsh fish curl skopeo umoci
ifeq ($(shell dpkg --print-architecture 2>/dev/null),amd64)
# What has no C library is linked for arm64, too (tests/native/test_foreign.py).
TEST_PACKAGES += gcc-aarch64-linux-gnu libc6-dev-arm64-cross
endif

SOURCES := $(shell find ociruntime native schemas -type f \
	-not -path '*/__pycache__/*' -not -name '_sys.*.so') \
	meson.build meson_options.txt pyproject.toml docs/package.md $(wildcard manual/*.py)
LIBRARY := $(DESTDIR)$(PREFIX)/lib/ociruntime
SHARE := $(DESTDIR)$(PREFIX)/share
BINARY := $(DESTDIR)$(PREFIX)/bin/ociruntime
PROGRAMS := ociruntime containerd-shim-ociruntime-v1 ociruntime-net ociruntime-bridge ociruntime-ipam

# $(call install_packages,NAMES): by apt, and only those that are missing.
install_packages = @missing=$$(for name in $(1); do \
	  dpkg-query -W -f='$${db:Status-Status}' "$$name" 2>/dev/null | grep -qx installed \
	  || printf '%s ' "$$name"; done); \
	if [ -n "$$missing" ]; then \
	  echo "installing $$missing"; \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get update -q; \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
	    --no-install-recommends $$missing; \
	fi

# $(call requirements,EXPRESSION): requirements out of pyproject.toml, one quoted word each.
requirements = $$($(PYTHON) -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
	print(*($(1)), sep="\n")' | tr -d ' ')

# $(call prove,PROGRAM): that what was built starts, the long way round and, with what it maps to
# start fast (of this machine, so not part of a package), the short one.
prove = @$(1) --version >/dev/null && { $(1) image refresh || :; } && $(1) --version >/dev/null

.PHONY: build demo docs docs-test test test-tools soak soak-pods v2-test vm-test vm-test-foreign vm-test-native distro-test python-test \
	package-test engines-test bench conformance conformance-matrix conformance-newer newer-criu \
	conformance-vm security-figures field findings install uninstall dev clean
.DELETE_ON_ERROR:

build: $(VENV)/.stamp-installed

$(VENV)/.stamp-venv: pyproject.toml Makefile
	$(call install_packages,$(BUILD_PACKAGES))
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -q --disable-pip-version-check --use-pep517 \
	  $(call requirements,p["build-system"]["requires"] + p["project"]["dependencies"])
	@touch $@

# The build directory is kept, so that only what changed is built again.
$(VENV)/.stamp-installed: $(VENV)/.stamp-venv $(SOURCES)
	$(if $(filter meson_options.txt,$?),rm -rf build/wheel) # meson only takes new options anew
	@mkdir -p build/wheel
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/pip install -q --disable-pip-version-check --use-pep517 \
	  --no-build-isolation --no-deps --force-reinstall --config-settings=build-dir=build/wheel .
	$(call prove,$(VENV)/bin/ociruntime)
	@touch $@

$(VENV)/.stamp-tests: $(VENV)/.stamp-tools
	$(call install_packages,$(TEST_PACKAGES))
	$(VENV)/bin/pip install -q --disable-pip-version-check --use-pep517 \
	  $(call requirements,p["project"]["optional-dependencies"]["dev"])
	tests/support/npm/install $(VENV)/bin/python build/npm || \
	  echo "npm gives nothing: the tests of an editor's language server are skipped"
	@touch $@

# Enough for the unit, native and kernel tests.
test-tools: $(VENV)/.stamp-tools
$(VENV)/.stamp-tools: $(VENV)/.stamp-venv
	$(call install_packages,$(TEST_TOOLS))
	$(VENV)/bin/pip install -q --disable-pip-version-check --use-pep517 \
	  $(call requirements,p["project"]["optional-dependencies"]["test"])
	@touch $@

demo: build
	$(SUDO) env OCIRUNTIME="$(CURDIR)/$(VENV)/bin/ociruntime" sh bundles/demo.sh

test: build dev $(VENV)/.stamp-tests
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(SUDO) $(VENV)/bin/python -m pytest -q -n $(JOBS) --dist worksteal tests

# The documentation as a site: docs/, the commands, the library's reference (manual/website.py).
$(VENV)/.stamp-docs: $(VENV)/.stamp-venv
	$(VENV)/bin/pip install -q --disable-pip-version-check --use-pep517 \
	  $(call requirements,p["project"]["optional-dependencies"]["docs"])
	@touch $@

docs: $(VENV)/.stamp-docs
	$(VENV)/bin/python manual/website.py build/site
	@echo "build/site/html/index.html"

# Clicks and searches through it, in a browser without a window.
docs-test: docs $(VENV)/.stamp-tools
	$(call install_packages,chromium)
	PYTHONPATH=manual $(VENV)/bin/python -m pytest -q manual/test_website.py

# A storm of all operations on a few ids, with hostile programs inside, for HOURS: what is left, and
# who waited longer than ten seconds.
HOURS := 1
soak: build $(VENV)/.stamp-tests
	$(SUDO) env PYTHONPATH=. $(VENV)/bin/python -m tests.soak --hours $(HOURS) $(ARGS)

# A hundred pods under one daemon of the shim, which is killed now and then, for HOURS: what is lost.
soak-pods: build $(VENV)/.stamp-tests
	$(SUDO) env PYTHONPATH=. $(VENV)/bin/python -m tests.soak.pods --hours $(HOURS) $(ARGS)

# The tests of faults where cgroup v2 alone is mounted: without a controller here, where v1 has all,
# but with what freezes, kills and counts. Words for pytest: make v2-test ARGS="-k shim".
v2-test: build $(VENV)/.stamp-tests
	$(SUDO) unshare --mount --propagation private sh -c 'umount -l /sys/fs/cgroup && \
	  mount -t cgroup2 cgroup2 /sys/fs/cgroup && \
	  exec $(VENV)/bin/python -m pytest -q -n $(JOBS) --dist worksteal tests/fault $(ARGS)'

# What the tests try, into docs/security.md; SCOPE=quick is a part, for a machine with other work.
SCOPE := all
TRIED_all := tests/security tests/fault tests/kernel/test_bad_input_*.py
TRIED_quick := $(addprefix tests/security/test_,mount_race.py exec_user_parse.py uid_range.py) \
	tests/fault/test_kill.py -k "not test_kill and not test_faults or 0- or test_every_step"
FIGURES_all := --tally-scope "all of tests/security and tests/fault"
FIGURES_quick := --race-seconds 1 \
	--tally-scope "of tests/security and tests/fault a part, on a machine with other work"
security-figures: build $(VENV)/.stamp-tests
	$(SUDO) $(VENV)/bin/python -m pytest -q -n $(JOBS) --dist worksteal --tally docs/security.md \
	  $(FIGURES_$(SCOPE)) tests/unit/process/test_faults.py $(TRIED_$(SCOPE))

# In a virtual machine with systemd and AppArmor, once with cgroup v2 and once with hybrid cgroups; see
# tests/vm/README.md. Words for pytest: make vm-test ARGS="-k nested". ARCH=arm64: a machine of another
# architecture, in which the checkout is built and shown, and a part of the tests is run.
ARCH :=
vm-test: $(if $(ARCH),vm-test-foreign,vm-test-native)
vm-test-foreign:
	$(SUDO) tests/vm/foreign-tests $(ARCH)
	$(PYTHON) tests/distro/report.py docs/platforms.md
vm-test-native: build $(VENV)/.stamp-tests
	@status=0; for mode in 1 0; do \
	  $(SUDO) tests/vm/run --timeout 5400 --append systemd.unified_cgroup_hierarchy=$$mode \
	    -- tests/vm/guest-tests $(ARGS) || status=1; \
	done; exit $$status

# What a new user does, and a part of the tests, on fresh Debians: make distro-test SUITES=trixie
# LEVEL=quick. The table in docs/platforms.md is of the last run of each.
SUITES := bookworm trixie sid
LEVEL := full
distro-test:
	$(call install_packages,mmdebstrap)
	@for suite in $(SUITES); do $(SUDO) tests/distro/run $$suite $(LEVEL) || exit; done
	$(PYTHON) tests/distro/report.py docs/platforms.md

# The same, but for apt, with interpreters that are not Debian's: make python-test
# PYTHONS="/usr/local/bin/python3.13". Without any, two are built out of the sources that Debian has.
PYTHONS :=
UPSTREAM := $(CURDIR)/build/upstream
python-test:
ifeq ($(PYTHONS),)
	$(SUDO) tests/distro/upstream-python 3.13 trixie "$(UPSTREAM)/3.13"
	$(SUDO) tests/distro/upstream-python 3.14 sid "$(UPSTREAM)/3.14"
endif
	@for python in $(or $(PYTHONS),"$(UPSTREAM)"/*/bin/python3.1?); do \
	  $(SUDO) tests/distro/with-python $$python $(LEVEL) || exit; done
	$(PYTHON) tests/distro/report.py docs/platforms.md

# The Debian package: built without network, checked by lintian, installed, upgraded and removed in
# fresh roots.
package-test:
	$(call install_packages,mmdebstrap)
	$(SUDO) tests/distro/run-package trixie

# The tests with real engines once more, with those of a newer Debian (containerd 2, Docker 28,
# podman 5), and with the runtimes that these bring beside ours.
ENGINES := $(CURDIR)/build/engines
$(ENGINES)/.stamp: tests/support/engines/make-root
	$(call install_packages,debootstrap)
	$(SUDO) rm -rf "$(ENGINES)"
	$(SUDO) tests/support/engines/make-root "$(ENGINES)"
	$(SUDO) touch $@

engines-test: build $(ENGINES)/.stamp $(VENV)/.stamp-tests
	$(SUDO) env ENGINES="$(ENGINES)" OCIRT_COMPARE=1 SWARM_REPLICAS=30 $(VENV)/bin/python -m pytest -q -n $(JOBS) --dist worksteal \
	  tests/clients/test_containerd.py tests/clients/test_containerd_checkpoint.py tests/clients/test_shim.py \
	  tests/clients/test_cri*.py \
	  tests/clients/test_swarm.py tests/clients/test_docker_*.py tests/clients/test_podman_*.py tests/clients/test_documented.py

# Ours, the newest runc and crun (those of Debian sid), and further RUNTIMES.
bench: build conformance-newer $(VENV)/.stamp-tests
	$(SUDO) env RUNTIMES="$(RUNTIMES)" $(VENV)/bin/python benchmarks/compare.py --output docs/performance.md
	$(PYTHON) manual/pictures.py performance
	$(SUDO) env PYTHONPATH=. $(VENV)/bin/python benchmarks/seccomp.py
	$(SUDO) env PYTHONPATH=. $(VENV)/bin/python benchmarks/library.py --output docs/library-performance.md
	$(SUDO) env PYTHONPATH=. $(VENV)/bin/python benchmarks/shim.py --output docs/shim-performance.md
	$(SUDO) env PYTHONPATH=. $(VENV)/bin/python benchmarks/node.py --output docs/node-performance.md
	$(SUDO) env PYTHONPATH=. $(VENV)/bin/python benchmarks/network.py --output docs/network-performance.md

# Any runtime against the specification: make conformance RUNTIME=/usr/sbin/runc ARGS="--format tap"
RUNTIME := $(VENV)/bin/ociruntime
conformance: build
	@$(SUDO) env CRIU="$(wildcard build/newer/sid/bin/criu)" $(PYTHON) -m conformance --runtime "$(RUNTIME)" $(ARGS)

# runc and crun of newer Debians, to build/newer; the matrix has them from then on. That of sid has
# CRIU, too, for the tests of checkpoint and restore: Debian 12's does not start on newer kernels.
NEWER := trixie sid
conformance-newer:
	$(call install_packages,patchelf)
	@for suite in $(NEWER); do conformance/newer-runtimes $$suite build/newer/$$suite || exit; done
	@echo "$(CURDIR)/build/newer" >build/newer/location

newer-criu:
	$(call install_packages,patchelf)
	conformance/newer-runtimes sid build/newer/sid

# All of them in the virtual machine with cgroup v2 (hours); the matrix has these reports, too.
conformance-vm: build $(VENV)/.stamp-tests
	@mkdir -p build/conformance
	$(SUDO) tests/vm/run --timeout 36000 --out build/conformance -- tests/vm/guest-conformance $(ARGS)

# Ours, runc and crun, newer ones and further RUNTIMES, and REPORTS (--format json) of other machines.
RUNTIMES :=
REPORTS := $(wildcard build/conformance/*.json)
conformance-matrix: build $(VENV)/.stamp-tests
	$(SUDO) $(PYTHON) -m conformance matrix --runtime $(VENV)/bin/ociruntime \
	  $(addprefix --runtime ,/usr/sbin/runc $(foreach suite,$(NEWER),$(wildcard build/newer/$(suite)/bin/runc-*)) /usr/bin/crun \
	  $(foreach suite,$(NEWER),$(wildcard build/newer/$(suite)/bin/crun-*)) $(RUNTIMES)) $(REPORTS:%=--add %) $(ARGS) \
	  --markdown docs/conformance.md --html docs/conformance.html
	$(PYTHON) manual/pictures.py conformance

# Configurations by chance, with ours and the newest runc and crun (make conformance-newer), for
# HOURS; what differs goes to tests/field/found. FIELD_SEEDS: a directory of more configurations.
HOURS := 1
FIELD_SEEDS :=
field: build $(VENV)/.stamp-tests
	$(SUDO) env FIELD_SEEDS="$(FIELD_SEEDS)" nice $(VENV)/bin/python -m tests.field.search --hours $(HOURS) $(ARGS)

# What surprised us in other software, looked at once more (root, and the network).
findings:
	$(call install_packages,python3-venv util-linux)
	$(SUDO) findings/run

# Self-contained: the package and what it depends on lie together in lib/ociruntime. Nothing is
# downloaded: what `make build` has fetched is installed. Packagers use meson (docs/platforms.md).
install: $(SOURCES)
	@test -x $(VENV)/bin/meson || { \
	  echo "run \`make build\` first: it fetches what is missing, this installs only" >&2; exit 1; }
	@rm -rf build/install
	$(VENV)/bin/meson setup build/install --prefix="$(PREFIX)" --bindir=bin \
	  -Dbuildtype=release -Dfrozen=true \
	  -Dpython.purelibdir="$(PREFIX)/lib/ociruntime" -Dpython.platlibdir="$(PREFIX)/lib/ociruntime"
	$(VENV)/bin/meson install --quiet -C build/install $(if $(DESTDIR),--destdir "$(abspath $(DESTDIR))")
	$(VENV)/bin/python native/dependencies.py pyproject.toml "$(LIBRARY)"
	$(PYTHON) -m compileall -q "$(LIBRARY)"
	$(if $(DESTDIR),,$(call prove,"$(BINARY)"))

uninstall:
	rm -rf "$(LIBRARY)" $(PROGRAMS:%="$(DESTDIR)$(PREFIX)/bin/%") \
	  "$(SHARE)"/man/man*/ociruntime* "$(SHARE)"/man/man8/containerd-shim-ociruntime-v1.8 \
	  "$(SHARE)"/bash-completion/completions/ociruntime "$(SHARE)"/zsh/site-functions/_ociruntime \
	  "$(SHARE)"/fish/vendor_completions.d/ociruntime.fish

# Configured by the meson of the virtual environment, once there is one: it builds for the Python that
# runs it. Copied beside and renamed: what runs has the old file mapped.
dev: export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
dev:
	@test -f build/build.ninja || meson setup build
	@ninja -C build
	@for built in build/_sys.*.so; do \
	  cp "$$built" ociruntime/kernel/.new && mv -f ociruntime/kernel/.new "ociruntime/kernel/$${built##*/}" \
	    || exit; done

clean:
	rm -rf build $(VENV) ociruntime/kernel/_sys.*.so
	find . -name __pycache__ -prune -exec rm -rf {} +
