"""Steps whose scalars a GPU makes itself: what they compute, in how many launches, when anew."""

from __future__ import annotations

import ctypes
import math
import re
import warnings
import weakref
from functools import cache
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from standin import Simulated
from test_kernels import assemble, ptxas
from torch.nn import Parameter

import slalom
from slalom.backends import using
from slalom.backends.cuda import powers, rows, tables
from slalom.backends.cuda.norm import norm_kernel
from slalom.backends.cuda.scalars import Asked, refused, rows_kernel
from slalom.backends.cuda.target import AMD, NVIDIA
from slalom.backends.layout import like
from slalom.backends.llvm import gathering
from slalom.backends.llvm.compile import assembly_for
from slalom.backends.llvm.jit import jit
from slalom.engine import capturable
from slalom.ir.branches import branches
from slalom.ir.program import multiplies
from slalom.rules import RULES
from slalom.rules.definition import REQUIRED

CLASSES = {
    n: made.rule
    for n in slalom.optim.__all__
    if hasattr(made := getattr(slalom.optim, n), "rule") and n != "RuleOptimizer"
}
LENGTHS = ((5000,), (33, 5), (), (3,), (0,))


def params(dtype: torch.dtype = torch.float32) -> list[Parameter]:
    draws = torch.Generator().manual_seed(3)
    return [Parameter(torch.randn(s, generator=draws).to(dtype)) for s in LENGTHS]


def grads(step: int) -> list[torch.Tensor]:
    draws = torch.Generator().manual_seed(step)
    return [torch.randn(s, generator=draws) for s in LENGTHS]


class Steps:
    """An optimizer on a simulated GPU beside a plain one on the CPU, both given the same."""

    def __init__(self, name: str, monkeypatch: pytest.MonkeyPatch | None = None, **options: Any):
        self.backend, self.ours, self.theirs = Simulated(), params(), params()
        self.made_anew = 0
        made = getattr(slalom.optim, name)
        self.one = made(self.ours, lr=0.01, capturable=True, **options)
        self.two = made(self.theirs, lr=0.01, **options)
        if monkeypatch is not None:
            update = capturable.update_there

            def counted(*given: Any) -> Any:
                self.made_anew += 1
                return update(*given)

            monkeypatch.setattr(capturable, "update_there", counted)

    def step(self, own: list[torch.Tensor | None]) -> list[tuple]:
        """What the step asked of the driver: copies and launches."""
        for ps in (self.ours, self.theirs):
            for p, g in zip(ps, own, strict=True):
                p.grad = None if g is None else g.to(p.dtype)
        before = len(self.backend.library.calls)
        with using(self.backend, "foreach"):
            self.one.step()
        with using("llvm"):
            self.two.step()
        work = ("cuMemcpyHtoDAsync_v2", "cuLaunchKernel")
        return [call for call in self.backend.library.calls[before:] if call[0] in work]

    def agree(self) -> None:
        torch.testing.assert_close(self.ours, self.theirs, rtol=3e-5, atol=3e-7)
        for a, b in zip(self.ours, self.theirs, strict=True):
            one, two = self.one.state[a], self.two.state[b]
            if "step" in two:  # of a rule that counts
                assert float(one["step"]) == float(two["step"])


# In how many launches.


@pytest.mark.parametrize(
    "options",
    [{}, {"clip_norm": 1.0}, {"on_nonfinite": "skip"}, {"clip_norm": 0.1, "on_nonfinite": "skip"}],
    ids=str,
)
def test_a_step_is_two_launches_and_sends_only_what_changed(monkeypatch, options):
    steps, same = Steps("Adam", monkeypatch, **options), grads(1)
    for _ in range(3):
        steps.step(same)
    assert [c[0] for c in steps.step(same)] == ["cuLaunchKernel"] * 2
    steps.one.param_groups[0]["lr"] = steps.two.param_groups[0]["lr"] = 0.003
    copy, *launches = steps.step(same)
    assert copy[1] < 8 * (6 + 6 + 5 * 6) + 1  # head, inputs, segments
    assert [c[0] for c in launches] == ["cuLaunchKernel"] * 2
    assert len(steps.step(grads(2))) == 3  # other addresses
    assert steps.made_anew == 1
    steps.agree()


def test_groups_and_their_rates_share_the_launches(monkeypatch):
    steps = Steps("AdamW", monkeypatch, clip_norm=1.0)
    for optimizer, own in ((steps.one, steps.ours), (steps.two, steps.theirs)):
        optimizer.param_groups[0]["params"] = own[:2]
        for rate, rest in ((0.1, own[2:3]), (0.02, own[3:])):
            optimizer.add_param_group({"params": rest, "lr": rate, "weight_decay": rate})
    for k in range(4):
        calls = steps.step(grads(k))
    assert [c[0] for c in calls].count("cuLaunchKernel") == 2
    assert steps.made_anew == 1
    steps.agree()


@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.5, "on_nonfinite": "skip"}], ids=str)
def test_groups_that_go_other_ways_have_rows_of_their_own(monkeypatch, options):
    """One is updated upwards: its rows are a launch more, which is told the norm of all."""
    steps = Steps("AdamW", monkeypatch, **options)
    for optimizer, own in ((steps.one, steps.ours), (steps.two, steps.theirs)):
        optimizer.param_groups[0]["params"] = own[:2]
        optimizer.add_param_group({"params": own[2:], "maximize": True})
    for k in range(4):
        calls = steps.step(grads(k))
    assert [c[0] for c in calls].count("cuLaunchKernel") == (5 if options else 4)
    assert steps.made_anew == 1
    steps.agree()


@pytest.mark.parametrize("dtypes", [(torch.bfloat16, torch.float32), (torch.float64,)])
def test_each_mixture_of_types_is_measured_and_updated(dtypes):
    """The norm of all is one; where float64 is among them, torch's operations make the rows."""
    steps = Steps("Adam", clip_norm=0.5)
    for own in (steps.ours, steps.theirs):
        for p, dtype in zip(own, 3 * dtypes, strict=False):
            p.data = p.data.to(dtype)
    for k in range(4):
        calls = steps.step(grads(k))
    launches = [c[0] for c in calls].count("cuLaunchKernel")
    assert launches == (4 if torch.float64 not in dtypes else len(dtypes) + (len(dtypes) == 1) * 1)
    torch.testing.assert_close(steps.ours, steps.theirs, rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["AdamW", "LAMB"])
def test_a_plain_step_that_clips_is_one_of_these(name, dtype):
    """But not in float64, whose squares may be infinite: there the host has the counts."""
    steps = Steps(name, clip_norm=0.3)
    for own in (steps.ours, steps.theirs):
        for p in own:
            p.data = p.data.to(dtype)
    del steps.one.param_groups[0]["capturable"]
    for k in range(4):
        calls = steps.step([*grads(k)])
    launches = [c[0] for c in calls].count("cuLaunchKernel")
    if dtype == torch.float32:
        assert launches == {"AdamW": 2, "LAMB": 3}[name]
        assert (steps.one._plan, steps.one._stay is None) == (None, False)
    else:
        assert steps.one._stay is None
    steps.agree()


# What it computes.


def test_a_recorded_step_is_replayed_with_what_lies_on_the_gpu():
    """Counts go on, a rate that is a tensor is read; and nothing is done while it is recorded."""
    steps = Steps("RAdam", clip_norm=0.7, on_nonfinite="skip")
    rate = torch.tensor(0.01)
    steps.one.param_groups[0]["lr"] = rate
    same = grads(4)
    for _ in range(2):
        steps.step(same)
    library = steps.backend.library
    library.captured = True
    before = [p.detach().clone() for p in steps.ours]
    with using(steps.backend, "foreach"):
        steps.one.step()
    library.captured = False
    assert all(map(torch.equal, before, steps.ours))
    assert len(library.graph) == 3  # a copy and two kernels
    for lr in (0.01, 0.02, 0.0, 0.03, 0.01, 0.01):
        rate.fill_(lr)
        library.replay()
        steps.two.param_groups[0]["lr"] = lr
        with using("llvm"):
            steps.two.step()
    steps.agree()
    with torch.no_grad():
        steps.ours[0].grad.view(-1)[7] = math.nan  # pyright: ignore[reportOptionalMemberAccess]
    before = [p.detach().clone() for p in steps.ours]
    library.replay()
    assert all(map(torch.equal, before, steps.ours))
    assert {float(steps.one.state[p]["step"]) for p in steps.ours} == {8.0}


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n, r in CLASSES.items() if not multiplies(r)])
@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.7}], ids=str)
def test_every_rule_is_the_cpus(name, options):
    steps = Steps(name, **options)
    for k in range(7):
        own: list[Any] = grads(k)
        own[1] = None if k == 4 else own[1]
        steps.step(own)
    steps.agree()


def flag(steps: Steps) -> None:
    for optimizer in (steps.one, steps.two):
        optimizer.param_groups[0]["maximize"] = True


def bound(steps: Steps) -> None:
    for optimizer in (steps.one, steps.two):
        assert optimizer.clip(norm=0.3)


def member(steps: Steps) -> None:
    for optimizer, own in ((steps.one, steps.ours), (steps.two, steps.theirs)):
        own.append(Parameter(torch.ones(7)))
        optimizer.add_param_group({"params": own[-1:], "lr": 0.1})


def state(steps: Steps) -> None:
    for optimizer, own in ((steps.one, steps.ours), (steps.two, steps.theirs)):
        optimizer.state[own[0]]["exp_avg"] = torch.full_like(own[0], 0.1)


def count(steps: Steps) -> None:
    for optimizer, own in ((steps.one, steps.ours), (steps.two, steps.theirs)):
        optimizer.state[own[1]]["step"].fill_(100.0)


def memory(steps: Steps) -> None:
    for own in (steps.ours, steps.theirs):
        own[0].data = own[0].data.clone()


def loaded(steps: Steps) -> None:
    for optimizer in (steps.one, steps.two):
        optimizer.load_state_dict(optimizer.state_dict())


def rates(steps: Steps) -> None:
    for optimizer in (steps.one, steps.two):
        optimizer.param_groups[0] |= {"lr": 0.05, "betas": (0.8, 0.9), "weight_decay": 0.1}


@pytest.mark.parametrize("edit", [flag, bound, member, state, count, memory, loaded, rates])
@pytest.mark.parametrize("name", ["Adam", "NAdam"])
def test_what_changes_between_steps_is_seen(name, edit):
    steps = Steps(name, weight_decay=0.01)
    for k in range(3):
        steps.step([*grads(k)])
    edit(steps)
    for k in range(3):
        more = [torch.ones(7)] * (len(steps.ours) - len(LENGTHS))
        steps.step([*grads(k), *more])
    steps.agree()


@pytest.mark.parametrize("name", ["Adam", "LAMB", "RAdam", "ScheduleFreeAdamW"])
def test_who_has_no_gradient_is_passed_over(name, monkeypatch):
    steps = Steps(name, monkeypatch, clip_norm=1.0)
    for k in range(8):
        own: list[Any] = grads(k)
        own[k % 3] = None if k > 1 else own[k % 3]
        steps.step(own)
    assert steps.made_anew == 1
    steps.agree()


def test_states_that_are_made_in_inference_mode_serve_outside(monkeypatch):
    steps = Steps("Adam", monkeypatch)
    with torch.inference_mode():
        steps.step([*grads(0)])
    assert not any(t.is_inference() for s in steps.one.state.values() for t in s.values())
    for k in range(1, 4):
        steps.step([*grads(k)])
    assert steps.made_anew == 1
    steps.agree()


@pytest.mark.parametrize("capturable", [True, False])
def test_many_tensors_are_looked_up_in_every_step(capturable):
    """What the pass points to stays where it is, and no address is one of an earlier step."""
    own = [Parameter(torch.full((n % 7 + 1,), 1.0)) for n in range(300)]
    theirs = [Parameter(p.detach().clone()) for p in own]
    backend = Simulated()
    one = slalom.optim.Adam(own, lr=0.1, capturable=capturable)
    two = slalom.optim.Adam(theirs, lr=0.1)
    for step in range(5):
        for i, (p, q) in enumerate(zip(own, theirs, strict=True)):
            p.grad = None if (i + step) % 5 == 0 else torch.randn(p.shape)
            q.grad = p.grad if p.grad is None else p.grad.clone()
            if i % 11 == step:
                p.data = p.data.clone()
        with using(backend, "llvm", "foreach"):
            one.step()
        with using("llvm"):
            two.step()
    torch.testing.assert_close(own, theirs, rtol=3e-5, atol=3e-7)


def test_gradients_that_lie_otherwise_and_a_scaler():
    steps = Steps("Adam", clip_norm=0.4)
    for k in range(6):
        own: list[Any] = grads(k)
        own[1] = own[1].t().contiguous().t() if k % 2 else own[1]
        if k >= 2:
            steps.one.grad_scale = steps.two.grad_scale = torch.tensor(4.0)
            steps.one.found_inf = steps.two.found_inf = torch.tensor(float(k == 4))
        steps.step(own)
    assert {float(steps.one.state[p]["step"]) for p in steps.ours} == {5.0}
    steps.agree()


@pytest.mark.parametrize("capturable", [True, False])
def test_copies_of_gradients_live_until_the_kernels_were_started(monkeypatch, capturable):
    """Memory that torch's allocator has back may be anybody's by then."""

    def poisoned(*given: Any) -> torch.Tensor:
        kept = like(*given)
        copy = kept.view(kept.shape)
        weakref.finalize(copy, kept.detach().fill_, math.nan)
        return copy

    for module in (rows, gathering):
        monkeypatch.setattr(module, "like", poisoned)
    steps = Steps("Adam")
    steps.one.param_groups[0]["capturable"] = capturable
    for own in (steps.ours, steps.theirs):
        own[-2].data = own[-2].data.bfloat16()  # whose kernels are made later
    for k in range(3):
        own = grads(k)
        steps.step([own[0], own[1].t().contiguous().t(), *own[2:]])
    torch.testing.assert_close(steps.ours, steps.theirs, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("where", ["scalar", "count", "noise", "sum"])
def test_rows_that_are_wrong_are_found(monkeypatch, where):
    old, new = {
        "scalar": ("call double @slalom.pow(double", "fadd double 0.0, 0.5 ; ("),
        "count": ("0x3FF0000000000000", "0x4000000000000000"),
        "noise": ("lshr i64", "ashr i64"),
        "sum": ("%p.next = add i64 %p, 128", "%p.next = add i64 %p, 256"),
    }[where]
    for name in ("rows_kernel", "norm_kernel"):
        real = getattr(tables, name)

        def bent(*given: Any, real: Any = real) -> str:
            return real(*given).replace(old, new)

        monkeypatch.setattr(tables, name, bent)
    for name in ("_rows_text", "_norm_text"):
        monkeypatch.setattr(tables, name, getattr(tables, name).__wrapped__)
    own = Parameter(torch.ones(600 * 4096 if where == "sum" else 100, dtype=torch.bfloat16))
    own.grad = torch.ones_like(own)
    optimizer = slalom.optim.Adam(
        [own], capturable=True, rounding="stochastic", clip_norm=1.0 if where == "sum" else None
    )
    with using(Simulated()), pytest.warns(UserWarning, match="other than torch's operations make"):
        optimizer.step()
    with using(Simulated()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer.step()
    assert float(optimizer.state[own]["step"]) == 2.0


# Powers.


@cache
def arithmetic() -> dict[str, Any]:
    text = "\n".join(
        [
            *powers.functions(["pow", "log", "mod"]),
            *(
                f"define double @{n}(double %x, double %y) {{\n"
                f"  %r = call double @slalom.{n}(double %x{', double %y' * (n != 'log')})\n"
                "  ret double %r\n}"
                for n in ("pow", "log", "mod")
            ),
        ]
    )
    kind = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_double)
    return {
        n: kind(at) for n, at in zip(powers.NAMES, jit().compile(text, *powers.NAMES), strict=True)
    }


@example(0.9999, 100000.0)
@example(1.0 - 2.0**-53, 2.0**60)
@example(2.0**-0.5, 3.0)
@settings(max_examples=200)
@given(st.floats(1e-300, 1e300), st.floats(-1e4, 1e4))
def test_powers_are_as_near_as_is_said(x, y):
    found = arithmetic()["pow"](x, y)
    with mpmath.workprec(200):
        exact, size = mpmath.mpf(x) ** mpmath.mpf(y), abs(float(mpmath.log(x) * y))
        if mpmath.mpf("1e-300") < exact < mpmath.mpf("1e300"):
            assert abs((found - exact) / exact) <= 2.0**-52 * (1 + size / 32)
        log = mpmath.log(x)
        assert abs(arithmetic()["log"](x, 0.0) - log) <= 2.0**-52 * abs(log)


SPECIAL = (0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 2.0, -2.0, 0.5, 3.0, -3.0, 5e-324)


def test_zeros_infinities_and_signs_are_those_of_c():
    def same(a: float, b: float) -> bool:
        return np.isnan([a, b]).all() or (a == b and math.copysign(1, a) == math.copysign(1, b))

    for x in SPECIAL:
        for y in SPECIAL:
            try:
                expected = math.pow(x, y)
            except ValueError:  # of zero, or of a negative number
                odd = y == int(y) and int(y) % 2 == 1 if math.isfinite(y) else False
                expected = math.nan if x else math.copysign(math.inf, x if odd else 1.0)
            except OverflowError:
                expected = math.inf if x > 0 or y % 2 == 0 else -math.inf
            found = arithmetic()["pow"](x, y)
            near = math.isfinite(expected) and math.isclose(found, expected, rel_tol=4e-16)
            assert same(found, expected) or (near and expected), (x, y, found, expected)
            if y and math.isfinite(x) and math.isfinite(y) and abs(y) > 1e-300:
                assert arithmetic()["mod"](x, y) == x % y
        with np.errstate(all="ignore"):
            found, expected = arithmetic()["log"](x, 0.0), float(np.log(np.float64(x)))
        assert same(found, expected) or math.isclose(found, expected, rel_tol=4e-16)


# What is compiled.


def asked(name: str) -> Asked:
    rule = RULES[name]
    hypers = {n: 1.0 if d in (None, REQUIRED) else d for n, d in rule.hypers.items()}
    programs = tuple(branches(rule, hypers, {"step", "lr", *rule.numbers}))
    named = {n for p in programs for g in (*p.scalars, *p.numbers, *(c for c, _ in p.guards))
             for n, _ in g.inputs()}  # fmt: skip
    names = sorted(named - {"step", *rule.numbers})
    kinds = ("float",) * (1 + len(rule.numbers))
    inputs = tuple((n, "float" if n == "lr" else "value") for n in names)
    return Asked(programs, inputs, kinds, True, "float", "float", True, True)


ELEMENTWISE = [r.name for r in RULES.values() if not r.squares]


@pytest.mark.parametrize("name", ["radam", "ademamix", "asgd"])
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
def test_ptx_is_read_and_assembled(name, architecture, tmp_path):
    read(name, architecture, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_ptx_of_every_rule_is_read(name, tmp_path):
    read(name, "sm_90", tmp_path)
    assert "s_swappc" not in assembly_for(rows_kernel(asked(name), AMD), AMD.triple, "gfx90a")


def read(name: str, architecture: str, tmp_path: Any) -> None:
    own = asked(name)
    assert not refused(own.programs)
    arrays = (("param", "float"), ("grad", "bfloat"), ("exp_avg", "float"))
    for text in (rows_kernel(own, NVIDIA), norm_kernel(arrays, (), 9, own, NVIDIA)):
        ptx = assembly_for(text, NVIDIA.triple, architecture)
        assert not re.search(r"\.local\b|\.approx|\.ftz", ptx)
        loose = re.findall(r"^\s+(?:add|sub|mul|mad)\.f(?:16|32|64)\b", ptx, re.MULTILINE)
        assert not loose, loose  # ptxas may join what is not told how to round
        if ptxas() is not None:
            assemble(ptxas() or "", ptx, architecture, tmp_path)
