"""A rule is one file, and so is a metric, a task, a chart: the diffs of CONTRIBUTING.md are all."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import slalom

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "CONTRIBUTING.md"
HOOKS = ROOT / "docs/hooks.py"

ASK = """
import sys, runpy
from pathlib import Path
import slalom, slalom.cli
from slalom.racing.entrants import families
print(slalom.optim.Yogi.rule, "Yogi" in slalom.optim.__all__)
(family,) = families(["yogi"], search="all")
print(family.label, sorted(family.space))
hooks = runpy.run_path(sys.argv[1])
print(hooks["on_page_markdown"](Path(sys.argv[1]).with_name("methods.md").read_text()))
sys.argv = ["slalom", "rules"]
slalom.cli.main()
"""


def files(diff: str) -> dict[str, str]:
    """The new files of a diff: path -> text."""
    found: dict[str, str] = {}
    for part in re.split(r"(?m)^--- /dev/null\n", diff)[1:]:
        head, _, body = part.partition("\n")
        lines = body.splitlines()
        assert re.fullmatch(r"@@ -0,0 \+1,\d+ @@", lines[0])
        assert all(line.startswith("+") for line in lines[1:])
        count = int(lines[0].split(",")[-1].split()[0])
        assert len(lines) - 1 == count, "the head of the diff counts its lines"
        found[head.removeprefix("+++ b/")] = "\n".join(line[1:] for line in lines[1:]) + "\n"
    heads = re.findall(r"(?m)^(?:---|\+\+\+) ", diff)
    assert len(heads) == 2 * len(found), "it changes no file that was there"
    return found


def changed(folder: Path, diff: str) -> Path:
    """Apply a diff to the one file that it names: its path. What has no context goes to its end."""
    name, *lines = diff.splitlines()
    path = folder / name.strip()
    text = path.read_text().splitlines() if path.exists() else []
    at = 0
    if text and all(line.startswith("+") for line in lines):
        text += ["", ""]
        at = len(text)
    for line in lines:
        if line[0] == "+":
            text.insert(at, line[2:])
        else:
            at = text.index(line[2:], at)
            if line[0] == "-":
                del text[at]
                continue
        at += 1
    path.write_text("\n".join(text) + "\n")
    return path


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """The environment of a copy of the package with the diff applied."""
    (diff,) = re.findall(
        r"(?ms)^## A rule, as a diff\n.*?^```diff\n(.*?)^```", DOCUMENT.read_text()
    )
    added = files(diff)
    assert len(added) == 1
    ((path, text),) = added.items()
    source = tmp_path_factory.mktemp("copy") / "src"
    shutil.copytree(
        Path(slalom.__file__).parent, source / "slalom",
        ignore=shutil.ignore_patterns("__pycache__"),
    )  # fmt: skip
    target = source.parent / path
    assert target.parent.is_dir()
    target.write_text(text)
    (others,) = re.findall(r"(?ms)^## A metric, a task, a chart\n(.*?)^## ", DOCUMENT.read_text())
    diffs = re.findall(r"(?ms)^```diff\n(.*?)^```", others)
    assert len(diffs) == 3
    targets = [target, *(changed(source.parent, diff) for diff in diffs)]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--config", ROOT / "pyproject.toml", *targets],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return {**os.environ, "PYTHONPATH": str(source)}


def test_it_is_in_slalom_optim_the_rules_the_race_and_the_docs(extended):
    done = subprocess.run(
        [sys.executable, "-c", ASK, HOOKS], env=extended, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    first, second, page = done.stdout.split("\n", 2)
    assert first == "<rule yogi> True"
    assert second == "Yogi ['betas[0]', 'betas[1]', 'lr']"
    assert "\n### Yogi\n" in page
    assert "\nyogi\n" in page
    assert page.count("param' = param - lr·exp_avg' / (√(exp_avg_sq') + eps)") >= 1


ASK_OTHERS = """
import torch, slalom
from slalom.report.charts import charts
from slalom.tasks import load
from slalom.train.metrics import METRICS
print(METRICS["median_error"].measure(torch.tensor([[1.0], [2.0], [9.0]]), torch.zeros(3, 1)))
result = slalom.race("wine", entrants=["sgd", "signsgd"], points_each=2, seeds=3, progress=False)
print(result.meta["task"], result.standings[0].reached)
(chart,) = [c for c in charts(result) if c.name == "needed"]
print(type(result.plot.needed_updates(backend="matplotlib")).__name__, len(chart.traces))
"""


def test_a_metric_a_task_and_a_chart_are_there_too(extended, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", ASK_OTHERS],
        env=extended, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["2.0", "wine 3", "Figure 2"]


def over(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    """The tests that have its name in theirs."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"]
    return subprocess.run(
        [*command, "-o", "addopts=", "-k", "yogi", *map(str, arguments)],
        env=environment, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip


def test_the_tests_of_all_rules_pass_for_it(extended):
    done = over(extended, "-v", ROOT / "tests/rules/test_registry.py")
    assert done.returncode == 0, done.stdout
    assert len(re.findall(r"(?m)::test_.*yogi.* PASSED", done.stdout)) >= 10, done.stdout


def test_the_property_and_conformance_tests_are_made_for_it(extended):
    files = ["optim/test_against_reference.py", "testing/test_conformance.py"]
    done = over(extended, "--collect-only", "-q", *(ROOT / "tests" / file for file in files))
    assert done.returncode == 0, done.stdout
    for file in files:
        assert re.search(rf"(?mi)^tests/{file}::test_\S+\[yogi\]$", done.stdout), done.stdout


def test_the_docs_list_every_rule():
    hooks: dict = {}
    exec(HOOKS.read_text(), hooks)
    text = (ROOT / "docs/methods.md").read_text()
    built = hooks["on_page_markdown"](text, page=None)
    assert text.count(hooks["MARKER"]) == 1
    assert hooks["MARKER"] not in built
    for rule in slalom.rules.RULES.values():
        assert f"\n### {rule.class_name}\n\n{rule.title}.\n" in built
    assert "Adadelta(params, lr=1.0, rho=0.9, eps=1e-06, weight_decay=0, maximize=False)" in built
    assert "rho in [0, 1]" in built
    assert "docs/hooks.py" in (ROOT / "mkdocs.yml").read_text()
    assert hooks["on_page_markdown"]("other pages stay") == "other pages stay"


def test_the_docs_name_no_class_that_is_not_there():
    for page in (ROOT / "docs").glob("*.md"):
        for name in re.findall(r"slalom\.optim\.([A-Z]\w+)", page.read_text()):
            assert hasattr(slalom.optim, name), f"{page.name} names slalom.optim.{name}"
