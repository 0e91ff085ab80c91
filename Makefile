# What there is to do here. `make` alone lists it.

CARGO  ?= cargo
PYTHON ?= python3
PREFIX ?= /usr/local
VENV   := .venv
TARGET := $(or $(CARGO_TARGET_DIR),target)/release

.PHONY: help
help:
	@echo "kvstore: an embedded key-value store for Rust, C, C++, Python and whatever calls C"
	@echo
	@sed -n 's/^\([a-z_-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

.PHONY: lib
lib: ## build libkvstore.so and libkvstore.a into target/release/
	$(CARGO) build --release
	@ln -sf libkvstore.so $(TARGET)/libkvstore.so.0
	@ls -l $(TARGET)/libkvstore.so $(TARGET)/libkvstore.a

.PHONY: cli
cli: ## build the kvstore command into target/release/
	$(CARGO) build --release --package kvstore-cli
	@ls -l $(TARGET)/kvstore

.PHONY: python
python: $(VENV)/.ready ## build the Python package and install it into .venv
	$(VENV)/bin/pip install --quiet --force-reinstall --no-deps .

# The tools that the tests need; made again when the project's requirements change.
$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet hypothesis mypy pytest
	@touch $@

.PHONY: demo
demo: lib python ## a C writer is killed; Python, C++ and ctypes go on with its directory
	KVSTORE_LIB_DIR=$(TARGET) $(VENV)/bin/python demo/run.py

.PHONY: test
test: test_rust test_c test_python ## every test, in Rust, C, C++ and Python

.PHONY: test_rust
test_rust: ## the tests of the engine and of its documentation's examples
	$(CARGO) test --workspace --exclude kvstore-python

.PHONY: test_c
test_c: lib ## the tests of the C interface, in C and C++
	KVSTORE_LIB_DIR=$(TARGET) tests/c/run.sh

.PHONY: test_python
test_python: python lib ## the tests of the Python package
	$(VENV)/bin/python -m pytest -q
	KVSTORE_LIB_DIR=$(TARGET) $(VENV)/bin/python tests/readme.py

.PHONY: test_race
test_race: ## the C tests with many threads under ThreadSanitizer
	tests/c/race.sh

.PHONY: test_memory
test_memory: lib ## the C tests under Valgrind's memcheck
	KVSTORE_LIB_DIR=$(TARGET) tests/c/run.sh --valgrind

# A directory of its own: the flag would have everything else built anew.
.PHONY: test_models
test_models: ## every order of events in small models of all that threads meet in
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$(or $(CARGO_TARGET_DIR),target)/models \
		CARGO_PROFILE_TEST_OPT_LEVEL=3 $(CARGO) test --lib --quiet models:: -- --nocapture

.PHONY: test_mutations
test_mutations: ## that the models fail when the code is broken, in one place at a time; takes minutes
	$(PYTHON) tests/models/mutations.py

.PHONY: test_address
test_address: ## the C tests under AddressSanitizer
	tests/c/run.sh --address

# What the explorer is to try; the tests among `make test` try a part of it.
STATES ?= 100000

.PHONY: crash
crash: ## crashes, faults, left-out syncs, kills and flipped bits: the figures of docs/RELIABILITY.md
	KVSTORE_CRASH_STATES=$(STATES) $(CARGO) test --release --lib explorer:: -- --nocapture --test-threads=1
	$(CARGO) test --release --test bit_flips --test kill --test races -- --nocapture --test-threads=1

.PHONY: crash-long
crash-long: ## the same for as many crash states as you say: make crash-long STATES=10000000
	@test "$(origin STATES)" != file || { echo "say how many: make crash-long STATES=10000000"; exit 2; }
	KVSTORE_CRASH_STATES=$(STATES) $(CARGO) test --release --lib explorer::crash_states -- --nocapture

# Each target starts from its seeds; what it adds to them is no part of the project. As many run at a
# time as there are processors. The sanitizers are not stable yet, hence the bootstrap.
.PHONY: fuzz
SECONDS := 60
fuzz: export RUSTC_BOOTSTRAP := 1
fuzz: ## each fuzz target for SECONDS=60; needs cargo-fuzz, see fuzz/README.md
	$(CARGO) fuzz build
	@printf '%s\n' decode_log decode_snapshot open_directory | xargs -P $$(nproc) -I TARGET sh -c '\
		mkdir -p target/fuzz/TARGET && $(CARGO) fuzz run TARGET target/fuzz/TARGET fuzz/corpus/TARGET -- \
			-max_total_time=$(SECONDS) -max_len=20000 -timeout=20 -rss_limit_mb=2048 \
			-print_final_stats=1 -verbosity=0 >target/fuzz/TARGET.log 2>&1; \
		status=$$?; echo TARGET; cat target/fuzz/TARGET.log; exit $$status'

.PHONY: bench
bench: lib python ## the figures of docs/PERFORMANCE.md, each beside its limit
	KVSTORE_LIBRARY=$(TARGET)/libkvstore.so $(CARGO) bench --bench store
	$(VENV)/bin/python bindings/python/bench.py

.PHONY: header
header: ## generate include/kvstore.h from src/ffi
	$(CARGO) run --quiet --package kvstore-header

.PHONY: lint
lint: ## formatting, clippy, the header and the list of mutations, as continuous integration checks them
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --no-deps --quiet
	$(CARGO) run --quiet --package kvstore-header -- --check
	$(PYTHON) tests/models/mutations.py --check

.PHONY: install
install: ## install the library, the header, kvstore.pc and the command below PREFIX (default /usr/local)
	$(CARGO) build --release --package kvstore --package kvstore-cli
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(TARGET)/kvstore $(DESTDIR)$(PREFIX)/bin/kvstore
	install -m 755 $(TARGET)/libkvstore.so $(DESTDIR)$(PREFIX)/lib/libkvstore.so.0
	ln -sf libkvstore.so.0 $(DESTDIR)$(PREFIX)/lib/libkvstore.so
	install -m 644 $(TARGET)/libkvstore.a $(DESTDIR)$(PREFIX)/lib/
	install -m 644 include/kvstore.h $(DESTDIR)$(PREFIX)/include/
	sed 's|@PREFIX@|$(PREFIX)|' kvstore.pc.in > $(DESTDIR)$(PREFIX)/lib/pkgconfig/kvstore.pc

.PHONY: clean
clean: ## remove everything that was built
	rm -rf target $(VENV)
