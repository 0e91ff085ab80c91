"""Runs the C and Python examples of the README as they stand there. The Rust one is a doctest."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIBRARIES = pathlib.Path(os.environ.get("KVSTORE_LIB_DIR", ROOT / "target/release")).resolve()


def examples(language: str, count: int) -> list[str]:
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    assert len(blocks) == count, f"{count} in {language}, found {len(blocks)}"
    return blocks


def run(command: list[str], directory: str) -> str:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}{done.stderr}"
    return done.stdout


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        first, several = examples("python", 2)
        pathlib.Path(directory, "example.py").write_text(first)
        pathlib.Path(directory, "several.py").write_text(several)
        pathlib.Path(directory, "example.c").write_text(examples("c", 1)[0])
        printed = run([sys.executable, "example.py"], directory)
        assert printed.splitlines()[0] == "b'alice' False 2", printed
        assert run([sys.executable, "several.py"], directory) == "100\n"
        strict = ["-Wall", "-Wextra", "-pedantic", "-Werror"]
        link = [f"-I{ROOT}/include", f"-L{LIBRARIES}", "-lkvstore", f"-Wl,-rpath,{LIBRARIES}"]
        run(["cc", *strict, "example.c", *link, "-o", "example"], directory)
        # On the directory that the Python example has made.
        assert run(["./example"], directory) == "dave\n"
    print("the README's examples in C and Python run: 3 passed, 0 failed")


if __name__ == "__main__":
    main()
