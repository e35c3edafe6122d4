"""A kernel that is wrong here is found before it serves, and one that is right is not blamed."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import pytest
import torch
from standin import Simulated
from torch.nn import Parameter

import slalom
from slalom.backends import using
from slalom.backends.cuda import members, rows, work
from slalom.backends.cuda.kernel import kernel
from slalom.backends.cuda.members import Kernels
from slalom.backends.cuda.proof import proven
from slalom.backends.refusals import Unavailable
from slalom.ir.program import is_whole, trace
from slalom.rules import RULES

SERVED = [r for r in RULES.values() if not is_whole(r)]
MIXTURES = (("float", "float"), ("bfloat", "bfloat"), ("half", "float"), ("double", "double"))


def judged(gpu, rule, kinds=("float", "float"), change=lambda text: text, **more) -> object:
    program = trace(rule, {**rule.hypers, "lr": 0.01}, step=3, first=False)
    names = ("param", "grad", *program.live_state)
    arrays = tuple((n, kinds[n not in ("param", "grad")]) for n in names)
    text = change(kernel([program], arrays, gpu.target, **more))
    return proven(gpu, Kernels([text]), [program], arrays)


@pytest.mark.parametrize("rule", SERVED, ids=lambda r: r.name)
def test_no_rule_is_blamed(rule):
    gpu = Simulated().gpu
    for kinds in MIXTURES if rule.name in ("adam", "sgd", "lion", "rprop") else MIXTURES[:2]:
        judged(gpu, rule, kinds)
    judged(gpu, rule, MIXTURES[1], stochastic=True)


WRONG = {
    "another operation": (" fneg <4 x float>", " fadd <4 x float> %w1,"),
    "another scalar": ("%row, i64 2", "%row, i64 1"),
    "another row": ("%row.first = mul i64 %row.number, 3", "%row.first = mul i64 %row.number, 0"),
    "elements left out": (
        "%i.next = add nuw nsw i64 %i, 512",
        "%i.next = add nuw nsw i64 %i, 1024",
    ),
    "the last one left out": (
        "%j.some = icmp slt i64 %j.first, %end",
        "%j.some = icmp slt i64 %j.first, %rest",
    ),
    "one too many": (
        "  %end = select i1 %over, i64 %numel",
        "  %more = add i64 %numel, 1\n  %end = select i1 %over, i64 %more",
    ),
    "a block of another tensor": ("%begin = mul i64 %chunk, 4096", "%begin = mul i64 %chunk, 0"),
}


@pytest.mark.parametrize(("old", "new"), WRONG.values(), ids=WRONG)
def test_a_wrong_kernel_is_found(old, new):
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    gpu = Simulated().gpu
    for _ in range(2):  # it is not forgotten either
        with pytest.raises(Unavailable, match="gave another param of sgd than torch's"):
            judged(gpu, RULES["sgd"], change=change)
    assert gpu.driver._library.names().count("cuLaunchKernel") == 1


@pytest.mark.parametrize("capturable", [False, True])
def test_torchs_operations_serve_in_its_place(monkeypatch, capturable):
    def bent(*given, made, **more):
        return made(*given, **more).replace("= fsub ", "= fadd ").replace("= fdiv ", "= fmul ")

    monkeypatch.setattr(members, "kernel", partial(bent, made=members.kernel))
    for module in (work, rows):  # which know kernels that were made before
        monkeypatch.setattr(module, "_kernels", module._kernels.__wrapped__)
    found, simulated = [], Simulated()
    for backend in (simulated, "foreach"):
        torch.manual_seed(0)
        param = Parameter(torch.randn(30))
        optimizer = slalom.optim.Adam([param], capturable=capturable)
        param.grad = torch.randn(30)
        told = pytest.warns(UserWarning, match="was tried on this GPU and gave")
        with (
            using(*dict.fromkeys((backend, "foreach"))),
            nullcontext() if backend == "foreach" else told,
        ):
            optimizer.step()
        with using(*dict.fromkeys((backend, "foreach"))):
            optimizer.step()
        found.append(param.detach())
    assert torch.allclose(*found, rtol=1e-6)


def test_a_graph_cannot_be_recorded_of_what_was_never_tried():
    gpu = Simulated().gpu
    gpu.driver._library.captured = True
    with pytest.raises(RuntimeError, match="make a few steps with the same parameters first"):
        judged(gpu, RULES["sgd"])
    gpu.driver._library.captured = False
    judged(gpu, RULES["sgd"])
