"""What the Python tests share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import kvstore
import pytest
from hypothesis.configuration import set_hypothesis_home_dir

# What hypothesis remembers goes where pytest keeps what it remembers, not into a folder of its own.
set_hypothesis_home_dir(Path(__file__).parents[2] / ".pytest_cache" / "hypothesis")


@pytest.fixture
def directory(tmp_path: Path) -> str:
    """A path at which nothing exists yet."""
    return str(tmp_path / "data")


@pytest.fixture
def store(directory: str) -> Iterator[kvstore.Store]:
    """An open, empty store; durability "os", so that tests are not as slow as the disk."""
    with kvstore.open(directory, durability="os") as opened:
        yield opened


@pytest.fixture
def python() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts another interpreter: ``python(source, *arguments)``, its output in a pipe."""
    started: list[subprocess.Popen[str]] = []

    def start(source: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-c", source, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
