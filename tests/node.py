"""JavaScript run by Node.js: one process, asked line by line."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

NODE = shutil.which("node") or shutil.which("nodejs")
needed = pytest.mark.skipif(NODE is None, reason="no Node.js is installed, which runs JavaScript")

_LOOP = """
const shown = (key, x) => typeof x === "number" && !Number.isFinite(x) ? String(x) : x;
require("readline").createInterface({input: process.stdin}).on("line", (line) => {
  let told;
  try { told = {value: ask(JSON.parse(line))}; } catch (error) { told = {error: error.stack}; }
  console.log(JSON.stringify(told, shown));
});
"""


class Node:
    """A process that has run ``script``, which defines ``ask``, and answers ``ask(question)``."""

    def __init__(self, script: str, folder: Any):
        assert NODE is not None
        file = folder / "script.js"
        file.write_text(f'"use strict";\n{script}\n{_LOOP}')
        self._process = subprocess.Popen(
            [NODE, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, question: Any) -> Any:
        """The answer, its infinities and NaN as words; AssertionError where the script throws."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(question) + "\n")
        stdin.flush()
        told = json.loads(stdout.readline())
        assert "error" not in told, told["error"]
        return told["value"]

    def close(self) -> None:
        """End the process."""
        self._process.communicate()
