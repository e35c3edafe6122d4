"""Make driver.ll, which is shipped, from driver.c, which people read.

    pip install ziglang==0.13.0
    python tools/make_driver.py            # writes src/slalom/backends/llvm/driver.ll
    python tools/make_driver.py --check    # says how the shipped file differs, and ends with 1

The compiler is the clang in the wheel ``ziglang``: the very same on every system, so that the
text is the same to the byte, and old enough that every LLVM served reads what it writes. What
clang knows of one machine is taken out of its text again, so that one text serves them all.
"""

from __future__ import annotations

import argparse
import difflib
import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ZIG = "0.13.0"
SOURCE = Path(__file__).parents[1] / "src" / "slalom" / "backends" / "llvm" / "driver.c"
HEAD = "; Made from {name} by tools/make_driver.py: edit that, not this.\n\n"

_FLAGS = (
    "-target", "x86_64-freestanding", "-std=c17", "-O1", "-g0", "-fno-discard-value-names",
    "-Wall", "-Wextra", "-Werror", "-S", "-emit-llvm",
)  # fmt: skip

_MACHINE = re.compile(
    r"^(?:;.*|source_filename .*|target .*|attributes .*|!.*"  # comments, metadata
    r"|.*@llvm\.lifetime\..*)\n",  # hints, which LLVM 22 writes otherwise
    re.MULTILINE,
)
_WORDS = re.compile(
    r" (?:dso_local|local_unnamed_addr|unnamed_addr|nocapture|mustprogress)\b"
    r"|,? !\w[\w.]* !\d+| #\d+\b| +; preds = .*"
)
_EXTENDED = re.compile(r" (?:zeroext|signext)\b")


def portable(text: str) -> str:
    """Clang's text without what holds for one machine or one version of LLVM alone.

    Systems differ in who widens a small number, the one who gives it or the one who takes it. So
    whoever gives widens, and whoever takes looks at the small number's own bits.
    """
    text = _WORDS.sub("", _MACHINE.sub("", text))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(map(_line, text.splitlines()))).strip() + "\n"


def _line(line: str) -> str:
    if match := re.match(r"(define .*?)(@\w+\()(.*)\{$", line):
        result, name, taken = match.groups()
        # no loop becomes a call of memset or the like: there may be none to call
        return f'{result}{name}{_EXTENDED.sub("", taken).rstrip()} nounwind "no-builtins" {{'
    if match := re.match(r"(.*\bcall\b[^@%(]*)([@%].*)$", line):
        taken, given = match.groups()
        return _EXTENDED.sub("", taken) + given
    return line


def made(source: Path) -> str:
    """The text of driver.ll. Raises :class:`SystemExit` where it cannot be made."""
    try:
        found = importlib.metadata.version("ziglang")
    except importlib.metadata.PackageNotFoundError:
        found = "not installed"
    if found != ZIG:
        raise SystemExit(f"ziglang is {found}; pip install ziglang=={ZIG}")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "driver.ll"
        env = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": folder, "ZIG_LOCAL_CACHE_DIR": folder}
        command = [sys.executable, "-m", "ziglang", "cc", *_FLAGS, "-o", str(out), source.name]
        if subprocess.run(command, cwd=source.parent, env=env, check=False).returncode:
            raise SystemExit(f"{source} does not compile")
        return HEAD.format(name=source.name) + portable(out.read_text())


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file, or compare it; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", nargs="?", type=Path, default=SOURCE)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    options = parser.parse_args(arguments)
    shipped, new = options.source.with_suffix(".ll"), made(options.source)
    if not options.check:
        shipped.write_text(new, newline="\n")
        return 0
    old = shipped.read_text() if shipped.exists() else ""
    names = str(shipped), f"made from {options.source.name}"
    sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), *names))
    return int(old != new)


if __name__ == "__main__":
    sys.exit(main())
