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
	@sed -n 's/^\([a-z_]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

.PHONY: lib
lib: ## build libkvstore.so and libkvstore.a into target/release/
	$(CARGO) build --release
	@ln -sf libkvstore.so $(TARGET)/libkvstore.so.0
	@ls -l $(TARGET)/libkvstore.so $(TARGET)/libkvstore.a

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
test_race: ## the C stress test under ThreadSanitizer
	tests/c/race.sh

.PHONY: test_memory
test_memory: lib ## the C tests under Valgrind's memcheck
	KVSTORE_LIB_DIR=$(TARGET) tests/c/run.sh --valgrind

.PHONY: bench
bench: lib python ## the figures of docs/PERFORMANCE.md, each beside its limit
	KVSTORE_LIBRARY=$(TARGET)/libkvstore.so $(CARGO) bench --bench store
	$(VENV)/bin/python bindings/python/bench.py

.PHONY: header
header: ## generate include/kvstore.h from src/ffi
	$(CARGO) run --quiet --package kvstore-header

.PHONY: lint
lint: ## formatting, clippy and the header, as continuous integration checks them
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --no-deps --quiet
	$(CARGO) run --quiet --package kvstore-header -- --check

.PHONY: install
install: lib ## install the library, the header and kvstore.pc below PREFIX (default /usr/local)
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include
	install -m 755 $(TARGET)/libkvstore.so $(DESTDIR)$(PREFIX)/lib/libkvstore.so.0
	ln -sf libkvstore.so.0 $(DESTDIR)$(PREFIX)/lib/libkvstore.so
	install -m 644 $(TARGET)/libkvstore.a $(DESTDIR)$(PREFIX)/lib/
	install -m 644 include/kvstore.h $(DESTDIR)$(PREFIX)/include/
	sed 's|@PREFIX@|$(PREFIX)|' kvstore.pc.in > $(DESTDIR)$(PREFIX)/lib/pkgconfig/kvstore.pc

.PHONY: clean
clean: ## remove everything that was built
	rm -rf target $(VENV)
