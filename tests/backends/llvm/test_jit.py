"""Machine code: kept between processes, not trusted when damaged, done without if forbidden."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest
import torch

import slalom
from served import Started
from slalom.backends.llvm import driver, torch_c

STEP = """
    import warnings, torch, slalom
    p = torch.nn.Parameter(torch.arange(5.0))
    o = slalom.optim.Adam([p], lr=0.1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            p.grad = torch.ones(5)
            o.step()
    said = [str(w.message) for w in caught if "slower" in str(w.message)]
    row = slalom.explain(o).rows[0]
    print(row[3], p.tolist() == EXPECTED, len(said), *said, sep="|")
"""


@pytest.fixture(scope="module")
def expected():
    import torch

    p = torch.nn.Parameter(torch.arange(5.0))
    o = torch.optim.Adam([p], lr=0.1)
    for _ in range(3):
        p.grad = torch.ones(5)
        o.step()
    return p.detach()


def start(cache: Path, expected, before: str = "") -> Started:
    code = before + textwrap.dedent(STEP).replace(
        "p.tolist() == EXPECTED", f"torch.allclose(p, torch.tensor({expected.tolist()}))"
    )
    return Started(exec, code, {}, env={"SLALOM_CACHE": str(cache)})


def end(started: Started) -> list[str]:
    done = started.ended()
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().split("|")


def run(cache: Path, expected, before: str = "") -> list[str]:
    return end(start(cache, expected, before))


def test_code_is_kept_and_used_again(tmp_path, expected):
    assert run(tmp_path, expected) == ["llvm", "True", "0"]
    kept = {f: f.stat().st_mtime_ns for f in tmp_path.iterdir()}
    assert kept
    assert run(tmp_path, expected) == ["llvm", "True", "0"]
    assert {f: f.stat().st_mtime_ns for f in tmp_path.iterdir()} == kept


def test_damaged_code_is_made_again(tmp_path, expected):
    run(tmp_path, expected)
    for file in tmp_path.iterdir():
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 0xFF
        file.write_bytes(bytes(content[: -(len(content) // 3)]))
    assert run(tmp_path, expected) == ["llvm", "True", "0"]


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path, expected):
    blocked = tmp_path / "a file"
    blocked.write_text("")
    assert run(blocked / "below", expected) == ["llvm", "True", "0"]


def test_without_llvmlite(tmp_path, expected):
    hidden = "import sys; sys.modules['llvmlite'] = None\n"
    backend, right, warnings, said = run(tmp_path, expected, hidden)
    assert (backend, right, warnings) == ("foreach", "True", "1")
    assert "Adam runs without machine code, and slower: llvmlite cannot be imported" in said


@pytest.mark.skipif(sys.platform != "linux", reason="the system call is Linux's")
def test_where_the_system_forbids_executable_memory(tmp_path, expected):
    """PR_SET_MDWE: what was writable can never be executed in this process again."""
    forbid = (
        "import torch, ctypes, sys\n"
        "if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0): print('unsupported'); sys.exit()\n"
    )
    result = run(tmp_path, expected, forbid)
    if result == ["unsupported"]:
        pytest.skip("this kernel cannot forbid it")
    backend, right, warnings, said = result
    assert (backend, right, warnings) == ("foreach", "True", "1")
    assert "the system forbids executable memory" in said


@pytest.fixture
def _another_torch(monkeypatch):
    """Within it what torch exports may be changed; afterwards it is found anew."""

    def forget() -> None:
        for cached in (torch_c.needed, torch_c.welcome, driver.driver):
            cached.cache_clear()

    forget()
    yield
    monkeypatch.undo()
    forget()


@pytest.mark.usefixtures("_another_torch")
def test_without_a_function_that_is_needed(monkeypatch):
    monkeypatch.setattr(torch_c, "NEEDED", (*torch_c.NEEDED, "no_such_function"))
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    optimizer = slalom.optim.SGD([p], lr=0.25)
    with pytest.warns(UserWarning, match="this build of torch has no no_such_function"):
        optimizer.step()
    optimizer.step()
    assert p.tolist() == [0.5, 0.5, 0.5]


@pytest.mark.usefixtures("_another_torch")
@pytest.mark.parametrize("missing", [*torch_c.WELCOME, "all"])
def test_without_what_some_platforms_name_otherwise(monkeypatch, missing):
    """Python is asked in its place, and machine code goes on: values, versions, changes seen."""
    names = torch_c.WELCOME if missing == "all" else [missing]
    hidden = {n: ("c10", "hidden") if n in names else at for n, at in torch_c.WELCOME.items()}
    monkeypatch.setattr(torch_c, "WELCOME", hidden)
    params = [torch.nn.Parameter(torch.ones(3)) for _ in range(3)]
    twins = [torch.nn.Parameter(torch.ones(3)) for _ in range(3)]
    ours, theirs = slalom.optim.Adam(params, lr=0.1), torch.optim.Adam(twins, lr=0.1)
    assert driver.driver().asks == set(names)
    for step in range(6):
        for i, own in enumerate(zip(params, twins, strict=True)):
            for p in own:  # one comes and goes, one comes late, one is a negated view
                grad = torch.full((3,), 1.0 + step)
                grad = torch._neg_view(-grad) if i == 1 and step > 3 else grad
                p.grad = None if (i, step % 2) == (0, 1) or (i == 2 and step < 2) else grad
        before = params[1]._version
        ours.step()
        theirs.step()
        assert params[1]._version > before
    for p, q in zip(params, twins, strict=True):
        torch.testing.assert_close(p, q)
    assert {row[3] for row in slalom.explain(ours).rows} == {"llvm", "none"}


def test_several_processes_at_once(tmp_path, expected):
    """They all compile into one empty cache; none sees another's half-written file."""
    workers = [start(tmp_path, expected) for _ in range(4)]
    assert list(map(end, workers)) == [["llvm", "True", "0"]] * 4
    assert not [f for f in tmp_path.iterdir() if f.suffix == ".tmp"]
