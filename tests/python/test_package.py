"""The package as such: documentation that runs, stubs that are true, imports that need nothing."""

from __future__ import annotations

import ast
import doctest
import inspect
import os
import subprocess
import sys
import typing
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import kvstore
import pytest
from kvstore import _errors, _kvstore, _views, types


def documented() -> Iterator[tuple[str, Any]]:
    """Everything public, by name, that may have a docstring."""
    yield "kvstore", kvstore
    yield "kvstore.types", types
    for name in types.__all__:
        if isinstance(getattr(types, name), type):
            yield f"types.{name}", getattr(types, name)
    for name in kvstore.__all__:
        yield name, getattr(kvstore, name)
    classes = (kvstore.Store, kvstore.View, kvstore.Batch, kvstore.Transaction)
    for owner in (*classes, _views.KeysView, _views.ValuesView, _views.ItemsView):
        for name, member in vars(owner).items():
            if not name.startswith("_"):
                yield f"{owner.__name__}.{name}", member


DOCUMENTED = dict(documented())


@pytest.mark.parametrize("name", DOCUMENTED)
def test_docstrings_exist_and_their_examples_run(name: str, tmp_path: Path) -> None:
    if name == "__version__":
        return
    text = inspect.getdoc(DOCUMENTED[name])
    assert text, f"{name} has no docstring"
    data = str(tmp_path / "data")
    with kvstore.open(tmp_path / "store", durability="os") as store:
        names = {"kvstore": kvstore, "store": store, "directory": data}
        test = doctest.DocTestParser().get_doctest(text, names, name, None, None)
        report: list[str] = []
        result = doctest.DocTestRunner(verbose=False).run(test, out=report.append)
        assert result.failed == 0, "".join(report)
    if isinstance(DOCUMENTED[name], type(kvstore.Store.get)) and not name.startswith("_"):
        assert result.attempted > 0, f"{name} has no example"


def stub_docstrings() -> Iterator[tuple[str, str | None]]:
    stub = ast.parse(resources.files(kvstore).joinpath("_kvstore.pyi").read_text())
    for node in stub.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, ast.get_docstring(node)
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, ast.get_docstring(node)
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                    yield f"{node.name}.{member.name}", ast.get_docstring(member)


def test_the_stub_repeats_the_docstrings() -> None:
    found: dict[str, str] = {}
    for name, text in stub_docstrings():
        if text is not None:  # only the first overload has one
            found[name] = text
    for name, text in found.items():
        assert inspect.getdoc(DOCUMENTED[name]) == text, name
    public = {name for name in DOCUMENTED if name.startswith(("Batch.", "Store.", "Transaction.", "View."))}
    public |= {"Batch", "Store", "Transaction", "View", "open", "repair", "salvage", "verify"}
    assert set(found) == public


SAMPLE = """
from array import array
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path

import kvstore
from kvstore.types import BackupProgress, Durability, Flag, RecoveryReport, RepairReport, Stats
from kvstore.types import Verification


def open_it(flag: Flag, durability: Durability) -> tuple[Stats, RecoveryReport]:
    with kvstore.open("x", flag, durability=durability) as store:
        store.backup("y", lambda progress: told(progress))
        return store.stats(), store.recovery_report()


def told(progress: BackupProgress) -> Verification | RepairReport:
    return kvstore.verify("x") if progress.records_done else kvstore.repair("x", "z")


open_it("a", "os")  # type: ignore[arg-type]


def use(mapping: MutableMapping[bytes, bytes]) -> None:
    mapping[b"a"] = b"b"


with kvstore.open(Path("x"), "n", durability="os", lock_timeout=1) as store:
    use(store)
    store[bytearray(b"a")] = memoryview(b"x")
    store[array("i", [1])] = b""
    one: bytes = store[b"a"]
    two: bytes | None = store.get(b"a")
    three: bytes = store.get(b"a", b"")
    four: bytes | int = store.get(b"a", 3)
    five: list[bytes | None] = store.get_many([b"a", bytearray()])
    six: Iterator[tuple[bytes, bytes]] = store.scan(prefix=b"x")
    seven: int = store.stats()["records"]
    eight: str | None = store.recovery_report()["quarantine"]
    nine: bytes | None = store.pop(b"a", None)
    ten: memoryview | None = store.get_view(b"a")
    store.update({b"a": b"1"})
    store.update([(b"a", b"b")])
    store.update(store)
    eleven: list[bytes] = list(reversed(store.keys()))
    with store.view() as view:
        frozen: Mapping[bytes, bytes] = view
        fourteen: bytes | None = view.get(b"a")
        fifteen: Iterator[bytes] = view.scan_keys(b"a", limit=1)
        sixteen: list[bytes] = list(view.values())
        view[b"a"] = b"b"  # type: ignore[index]
    with store.transaction() as transaction:
        use(transaction)
        transaction.update([(b"a", bytearray(b"b"))])
        seventeen: bytes | None = transaction.pop(b"a", None)
        eighteen: tuple[int, bool] = (
            transaction.increment(b"n"),
            transaction.compare_and_set(b"a", None, b"b"),
        )
        nineteen: list[bytes | None] = transaction.get_many([b"a"])
    store["a"]  # type: ignore[index]
    store.set(b"a", b"b", durability="fast")  # type: ignore[arg-type]
    kvstore.open("x", flag="x")  # type: ignore[arg-type]
    store.update(a=b"b")  # type: ignore[call-overload, arg-type, unused-ignore]
try:
    pass
except kvstore.LockedError as error:
    twelve: int | None = error.pid
except FileNotFoundError:
    pass
except kvstore.StorageError as error:
    twenty: int | None = error.errno
except kvstore.CorruptionError as error:
    thirteen: int | None = error.offset
"""


def run(*arguments: str, directory: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=directory, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_types_hold_under_mypy_strict(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "sample.py").write_text(SAMPLE)
    run("mypy", "--strict", "--cache-dir", str(tmp_path), "sample.py", directory=tmp_path)


def test_the_stub_is_what_the_module_is(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    # It takes a `Literal` of several values for a union, which it is not at run time.
    literals = [name for name in types.__all__ if typing.get_origin(getattr(types, name)) is Literal]
    allowed = tmp_path / "allowed"
    allowed.write_text("".join(f"kvstore.types.{name}\n" for name in literals))
    options = ("--allowlist", str(allowed), "--ignore-unused-allowlist")
    run("mypy.stubtest", *options, "kvstore", directory=tmp_path)


def test_the_package_is_whole() -> None:
    files = {path.name for path in resources.files(kvstore).iterdir()}
    assert {"__init__.py", "_kvstore.pyi", "py.typed", "types.py"} <= files
    assert all(hasattr(kvstore, name) for name in kvstore.__all__)
    assert kvstore.__all__ == sorted(kvstore.__all__)
    assert kvstore.__version__ == _kvstore.__version__
    assert kvstore.Store.__module__ == "kvstore"
    exceptions = {
        name
        for name, value in vars(_errors).items()
        if isinstance(value, type) and not name.startswith("_")
    }
    assert exceptions <= set(kvstore.__all__)


def test_the_types_have_the_keys_that_the_dictionaries_have(tmp_path: Path) -> None:
    log = tmp_path / "data" / "wal.log"
    with kvstore.open(log.parent) as store:
        store[b"in the snapshot"] = b""
    with kvstore.open(log.parent, close_checkpoint="never") as store:
        store[b"in the log"] = b"value"
        stats = store.stats()
        recovery = store.recovery_report()
    log.write_bytes(log.read_bytes().replace(b"value", b"other"))
    with pytest.warns(kvstore.DamageWarning):
        kvstore.open(log.parent, "c", close_checkpoint="never").close()
    log.write_bytes(b"no log")
    found = kvstore.verify(log.parent)
    repaired = kvstore.repair(log.parent, tmp_path / "new")
    assert found["snapshot"] is not None
    dictionaries = {
        types.Stats: stats,
        types.RecoveryReport: recovery,
        types.Verification: found,
        types.SnapshotCheck: found["snapshot"],
        types.LogCheck: found["logs"][0],
        types.Finding: found["findings"][0],
        types.QuarantinedFile: found["quarantine"][0],
        types.RepairReport: repaired,
        types.LeftOut: repaired["left_out"][0],
    }
    for kind, dictionary in dictionaries.items():
        assert list(typing.get_type_hints(kind)) == list(dictionary), kind  # type: ignore[call-overload]
    named = {name for name in types.__all__ if typing.is_typeddict(getattr(types, name))}
    assert named == {kind.__name__ for kind in dictionaries}
    assert types.__all__ == sorted(types.__all__)
    assert types.BackupProgress is kvstore.BackupProgress


def test_the_types_of_options_name_all_their_values(directory: str) -> None:
    for option in ("flag", "durability", "close_checkpoint"):
        kind = getattr(types, option.title().replace("_", ""))
        with pytest.raises(ValueError) as caught:
            kvstore.open(directory, **{option: "unknown"})
        values = ", ".join(map(repr, typing.get_args(kind)))
        assert f"{option} must be one of {values}, not" in str(caught.value)


def test_importing_needs_nothing_but_the_package(tmp_path: Path) -> None:
    """In an isolated interpreter, elsewhere, without the environment's variables."""
    source = "import kvstore, sys; print(kvstore.__version__, sorted(sys.modules))"
    paths = [str(Path(kvstore.__file__).parent.parent)]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {paths!r}; {source}"],
        cwd=tmp_path,
        env={"PATH": os.environ.get("PATH", "")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(kvstore.__version__)


def test_the_extension_is_for_every_python_from_3_11_on() -> None:
    assert _kvstore.__file__ is not None
    assert _kvstore.__file__.endswith(".abi3.so")
