# Everything that a developer or the CI calls. A machine needs Python 3.11 or later, a C
# compiler, make and git; what else is needed the first target sets up in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# two at a time is what a small machine bears
JOBS ?= 2
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest -n $(JOBS)
COMPILED := $(shell find src -name '*.pyx' -o -name '*.pxd')

# What `make demo` shows: a trace, and the scenario that it is replayed under.
DEMO_TRACE := traces/seed-unlimited
DEMO_SCENARIO := traces/seed-unlimited.toml
DEMO_OPTIONS := --interval auto --requests --overwrite
# What drives compiled code: it runs on the build with checks, and a part of it under the
# sanitizers, which take ten times as long.
CHECKED := tests/property tests/unit/engine tests/unit/trace tests/unit/curves tests/fidelity \
	tests/fuzz/test_decode_mutations.py tests/integration/test_scenarios_of_traces.py
SANITIZED := $(wildcard tests/property/test_engine_*.py tests/property/test_pair*.py \
	tests/unit/trace/blktrace tests/unit/trace/text tests/unit/engine/structures \
	tests/unit/engine/shortcuts tests/fuzz/test_decode_mutations.py)
BENCHMARKS := benchmarks.rates
# how long `make fuzz` looks for trouble
SECONDS ?= 600

export REPLAY_SHARED ?= $(abspath ../shared)

.PHONY: all demo test test-oldest slow lint format types debug sanitize mutants fuzz coverage bench record record-kernels record-iolatency fidelity man news site pictures dist release-check clean
all: test

# the same writer twice, charged to itself under its limit and charged to the root, as
# tables; then both on one page
demo: $(if $(wildcard $(VENV)/ready),$(VENV)/built,$(VENV)/demo)
	mkdir -p build/demo
	$(BIN)/replay run $(DEMO_TRACE) -s $(DEMO_SCENARIO) \
	    $(DEMO_OPTIONS) -o build/demo/per-cgroup
	$(BIN)/replay run $(DEMO_TRACE) -s $(DEMO_SCENARIO) --set driver.policy=root \
	    $(DEMO_OPTIONS) -o build/demo/root
	$(BIN)/replay report build/demo/per-cgroup build/demo/root \
	    -o build/demo/page.html --overwrite
	@echo "Open build/demo/page.html in a browser."

# What a plain clone skips: traces of others, which may not be kept here, blktrace's
# tools, a virtual machine. The stubs are held by `make types`.
test: export REPLAY_MAX_SKIPS ?= 150
test: $(VENV)/built
	$(PYTEST) -m 'not slow' \
	    --deselect tests/test_sourcecode.py::test_stubs_are_what_the_compiled_modules_hold

# with the oldest libraries that pyproject.toml admits
test-oldest: $(VENV)/built
	$(PYTHON) -m venv build/oldest
	build/oldest/bin/python -m pip --quiet install --upgrade 'pip>=25.1'
	build/oldest/bin/python -m pip --quiet install --group dev -c tests/oldest.txt \
	    click msgspec numpy pyarrow rich
	PYTHONPATH=$(CURDIR)/src build/oldest/bin/python -m pytest -n $(JOBS) -m 'not slow' \
	    tests/cli tests/unit tests/integration

# builds the wheel and tests it installed; with REPLAY_LAB=1 as root, on Debian, also
# records in a virtual machine
slow: $(VENV)/built
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/cython-lint src

format: $(VENV)/ready
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(VENV)/built
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_sourcecode.py -k stubs

# bounds, initialisation and the engine's own checks (structures/arena.pxd)
debug: build/debug/lib
	PYTHONPATH=$(CURDIR)/$< HYPOTHESIS_PROFILE=checked \
	$(PYTEST) -m 'not slow' $(CHECKED)

# LD_PRELOAD: the interpreter itself is not sanitized. libstdc++ goes with it, or the
# first C++ exception of another library ends the run. Leaks are the interpreter's own.
sanitize: build/sanitize/lib
	PYTHONPATH=$(CURDIR)/$< HYPOTHESIS_PROFILE=checked \
	PYTHONMALLOC=malloc ARROW_DEFAULT_MEMORY_POOL=system \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
	LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libstdc++.so.6)" \
	$(PYTEST) -m 'not slow' --capture=sys -p no:cacheprovider $(SANITIZED)

# removes each condition of the engine's shortcuts in turn: a test must notice
mutants: $(VENV)/built
	cd tests && $(CURDIR)/$(BIN)/python -m guard.mutants

# Damages inputs for SECONDS, on the build with sanitizers; prints the seed of a round
# that fails. With SURFACE=decoder, model, text, columns, arrow, scenario, set, result,
# table, dataset or capture the fuzzer that learns is at that alone, and keeps in
# tests/fuzz/corpora what was of use.
ifdef SURFACE
fuzz: $(VENV)/built
	$(BIN)/python tests/fuzz/build.py
	$(BIN)/python tests/fuzz/learn.py $(SURFACE) --seconds $(SECONDS) --keep
else
fuzz: build/sanitize/lib
	PYTHONPATH=$(CURDIR)/$< PYTHONMALLOC=malloc ARROW_DEFAULT_MEMORY_POOL=system \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
	LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libstdc++.so.6)" \
	$(BIN)/python tests/fuzz/run.py --seconds $(SECONDS)
endif

# Line tracing of compiled code needs Python 3.11 and the C beside its source, so a copy
# is built and tested.
coverage: $(VENV)/ready
	mkdir -p build/coverage
	cp -ru src tests benchmarks docs traces LICENSE README.md setup.py pyproject.toml build/coverage
	cd build/coverage && \
	REPLAY_BUILD=coverage $(CURDIR)/$(BIN)/python setup.py --quiet build_ext --inplace && \
	export PYTHONPATH=$(CURDIR)/build/coverage/src:$(CURDIR)/build/coverage/tests HYPOTHESIS_PROFILE=checked && \
	$(CURDIR)/$(BIN)/python -m coverage run -m pytest -m 'not slow' \
	    --ignore=tests/test_sourcecode.py && \
	$(CURDIR)/$(BIN)/python -m coverage report --skip-covered \
	    --include='*.py' --fail-under=95 && \
	$(CURDIR)/$(BIN)/python -m coverage report --skip-covered \
	    --include='*.pyx,*.pxd' --fail-under=90

# a real kernel's recording, in a virtual machine (as root, on Debian), for instance
# make record SCENARIO=memory-high SETTINGS="HIGH=24M" KERNEL=6.12 OUT=/tmp/high
RECORD := cd tests && $(CURDIR)/$(BIN)/python -m lab.record_scenario
record: $(VENV)/built
	$(RECORD) $(SCENARIO) $(SETTINGS) --kernel $(or $(KERNEL),6.1) -o $(abspath $(OUT))

# the same on all four kernels: OUT/5.10/NAME, OUT/6.1/NAME, OUT/6.12/NAME, OUT/7.3/NAME
# make record-kernels SCENARIO=memory-high SETTINGS="HIGH=24M" OUT=/tmp/kernels
record-kernels: $(VENV)/built
	$(RECORD) $(SCENARIO) $(SETTINGS) --kernel 5.10 6.1 6.12 7.3 -o $(abspath $(OUT))

# builds the kernel with io.latency that no Debian has, unless it is there, and records
# io.latency and iocost with it, each without a setting and with one (an hour):
# make record-iolatency OUT=/tmp/iolatency
SMALL := --kernel 6.1-iolatency --icount --seconds 1800 -o $(abspath $(OUT))
record-iolatency: $(VENV)/built
	mkdir -p $(or $(OUT),$(error say where the recordings go: OUT=DIR))
	sh tests/lab/build_kernel.sh 6.1
	$(RECORD) io-latency $(SMALL)/io-latency-base
	$(RECORD) io-latency TARGET=10000 $(SMALL)/io-latency
	$(RECORD) io-cost $(SMALL)/io-cost-base
	$(RECORD) io-cost RATE=2000 $(SMALL)/io-cost

# every recording replayed beside what the kernel counted: docs/fidelity.md
fidelity: $(VENV)/built
	cd tests && $(CURDIR)/$(BIN)/python -m fidelity --write

# man pages and completions, made of the commands: docs/man, docs/completions
man: $(VENV)/built
	cd tests && $(CURDIR)/$(BIN)/python -m documents.manuals

# docs/pictures, from the recordings; those of a page need chromium
pictures: $(VENV)/built
	cd tests && $(CURDIR)/$(BIN)/python -m documents.pictures

# the docs as a site in build/site; a link that leads nowhere fails
site: $(VENV)/built
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict -f docs/site/mkdocs.yml

# what CHANGELOG.md would say of the changes since the last version; with VERSION=0.3.0 it says so
news: $(VENV)/ready
	$(BIN)/python -m towncrier build --yes $(if $(VERSION),--version $(VERSION),--draft --version next)

bench: $(VENV)/built $(VENV)/peers
	$(BIN)/python -m $(BENCHMARKS) $(ARGUMENTS)

# the wheel is built from the sdist
dist: $(VENV)/ready
	rm -rf dist
	REPLAY_BUILD=release $(BIN)/python -m build

# all of a release but publishing it
release-check: lint types test debug sanitize site dist
	REPLAY_WHEEL="$$(echo $(CURDIR)/dist/*.whl)" $(MAKE) slow
	$(BIN)/python -m auditwheel show dist/*.whl
	cd tests && $(CURDIR)/$(BIN)/python -m documents.release

clean:
	rm -rf build dist .venv
	find src -name '*.so' -delete

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# the package in place and what it needs, without the tools; a part of `ready`
$(VENV)/demo: setup.py pyproject.toml $(COMPILED) | $(BIN)/python
	REPLAY_BUILD=release $(PIP) install --editable '.[plots]'
	touch $@

# the tools, what the package needs, and the package in place: what runs is src/
$(VENV)/ready: pyproject.toml | $(BIN)/python
	$(PIP) install --upgrade 'pip>=25.1'
	$(PIP) install --group dev
	REPLAY_BUILD=release $(PIP) install --no-build-isolation --editable .
	touch $@

# others' simulators, to be compared with: what cannot be had is left out, and said so
$(VENV)/peers: pyproject.toml $(VENV)/ready
	-$(PIP) install --only-binary :all: --group bench
	touch $@

$(VENV)/built: setup.py $(COMPILED) $(VENV)/ready
	REPLAY_BUILD=release $(BIN)/python setup.py --quiet build_ext --inplace
	touch $@

# The other profiles are built aside, so that src/ keeps the release build. Always
# called: it copies the Python files that changed.
.PHONY: build/debug/lib build/sanitize/lib
build/debug/lib build/sanitize/lib: build/%/lib: $(VENV)/ready
	REPLAY_BUILD=$* $(BIN)/python setup.py --quiet build \
	    --build-base build/$* --build-lib $@
