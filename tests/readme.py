"""Runs the C and Python examples of the README as they stand there. The Rust one is a doctest."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIBRARIES = pathlib.Path(os.environ.get("KVSTORE_LIB_DIR", ROOT / "target/release")).resolve()


def example(language: str) -> str:
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    assert len(blocks) == 1, f"one example in {language}, found {len(blocks)}"
    return blocks[0]


def run(command: list[str], directory: str) -> str:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}{done.stderr}"
    return done.stdout


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        pathlib.Path(directory, "example.py").write_text(example("python"))
        pathlib.Path(directory, "example.c").write_text(example("c"))
        printed = run([sys.executable, "example.py"], directory)
        assert printed.splitlines()[0] == "b'alice' False 2", printed
        strict = ["-Wall", "-Wextra", "-pedantic", "-Werror"]
        link = [f"-I{ROOT}/include", f"-L{LIBRARIES}", "-lkvstore", f"-Wl,-rpath,{LIBRARIES}"]
        run(["cc", *strict, "example.c", *link, "-o", "example"], directory)
        # On the directory that the Python example has made.
        assert run(["./example"], directory) == "dave\n"
    print("the README's examples in C and Python run: 2 passed, 0 failed")


if __name__ == "__main__":
    main()
