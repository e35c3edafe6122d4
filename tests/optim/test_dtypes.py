"""Every dtype, alone and mixed: machine code against the eager reference, and against torch."""

from __future__ import annotations

import copy

import pytest
import torch

import slalom
from reference import distance
from slalom.backends import using
from slalom.ir.program import multiplies
from slalom.rules import RULES

CLASSES = {name: slalom.optimizer(rule) for name, rule in RULES.items()}
DTYPES = [
    torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128,
]  # fmt: skip
ULP = {
    torch.bfloat16: 2**-8, torch.float16: 2**-11, torch.float32: 1e-6, torch.float64: 1e-13,
    torch.complex64: 1e-6, torch.complex128: 1e-13,
}  # fmt: skip


def params_of(dtypes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float32).to(dtype))
        for dtype in dtypes
        for shape in ((37, 5), (), (0,), (1031,))
    ]


def steps(optimizer, params, n=6, dtype=None):
    generator = torch.Generator().manual_seed(1)
    for _ in range(n):
        for p in params:
            grad = torch.randn(p.shape, generator=generator, dtype=torch.complex64)
            p.grad = grad.to(p.dtype) if p.is_complex() else grad.real.to(p.dtype)
        optimizer.step()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_machine_code_equals_torchs_operations(rule, torchs_products):
    """To one unit in the last place: the two may round a float32 intermediate differently."""
    # of complex numbers there are no rows and no matrices
    real = multiplies(rule) or {"tensor1", "tensor2"} & set(rule.shapes.values())
    dtypes = [d for d in DTYPES if not (real and d.is_complex)]
    options = {n: "float32" for n in ("ns_dtype",) if n in rule.hypers}  # no coarser rounding
    params = params_of(dtypes)
    twins = copy.deepcopy(params)
    optimizer = CLASSES[rule.name](params, lr=0.01, **options)
    steps(optimizer, params)
    assert {row[3] for row in slalom.explain(optimizer).rows} == {"llvm"}
    reference = CLASSES[rule.name](twins, lr=0.01, **options)
    with using("foreach"):
        steps(reference, twins)
    for p, q in zip(params, twins, strict=True):
        p, q = (torch.view_as_real(x.detach()) if x.is_complex() else x.detach() for x in (p, q))
        assert distance(p, q) <= 2 * ULP[next(d for d in dtypes if d.to_real() == p.dtype)]
        for name, state in optimizer.state[params[0]].items():
            assert state.dtype == reference.state[twins[0]][name].dtype


@slalom.rule
def restored(param, grad, held):
    return held, held


Restored = slalom.optimizer(restored)


@pytest.mark.parametrize("value", [1.0, -1.0, 3.14159, 65504.0, 1e-7, 1e-40, 3.38e38, 0.0])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rounding_is_torchs(dtype, value):
    """To nearest, ties to even, denormals and infinities kept: what `Tensor.to` does."""
    spread = value * (1 + torch.arange(-300, 301).double() / 2**12).float()
    exact = torch.cat([spread, torch.tensor([float("inf"), float("-inf"), float("nan")])])
    p = torch.nn.Parameter(torch.zeros(len(exact), dtype=dtype))
    p.grad = torch.zeros_like(p)
    optimizer = Restored([p])
    optimizer.step()
    optimizer.state[p]["held"] = exact
    optimizer.step()
    assert slalom.explain(optimizer).rows[0][3] == "llvm"
    assert torch.equal(p.detach().view(torch.int16)[:-1], exact.to(dtype).view(torch.int16)[:-1])
    assert p[-1].isnan()


@pytest.mark.parametrize("name", ["SGD", "Adagrad", "RMSprop", "Adam", "AdamW"])
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_is_as_in_torch(name, dtype):
    params = params_of([dtype])
    twins = copy.deepcopy(params)
    mine = getattr(slalom.optim, name)(params, lr=0.01)
    other = getattr(torch.optim, name)(twins, lr=0.01)
    steps(mine, params)
    steps(other, twins)
    for p, q in zip(params, twins, strict=True):
        reals = [torch.view_as_real(x.detach()) for x in (p, q)]
        assert distance(*reals) <= 10 * ULP[dtype]


def test_a_conjugated_gradient_is_read_as_what_it_means():
    p = torch.nn.Parameter(torch.zeros(3, dtype=torch.complex64))
    optimizer = slalom.optim.SGD([p], lr=1.0)
    grad = torch.tensor([1 + 2j, 3 - 4j, 5j])
    for given in (grad, grad.conj()):
        p.grad = given
        before = p.detach().clone()
        optimizer.step()
        torch.testing.assert_close(p.detach(), before - given.resolve_conj())


def test_a_mixed_step_keeps_each_its_dtype():
    """bfloat16 parameters with float32 states, as a checkpoint may bring them."""
    p = torch.nn.Parameter(torch.randn(1000).bfloat16())
    optimizer = slalom.optim.Adam([p], lr=0.01)
    p.grad = torch.randn(1000).bfloat16()
    optimizer.step()
    for name in ("exp_avg", "exp_avg_sq"):
        optimizer.state[p][name] = optimizer.state[p][name].float()
    exact, q = p.detach().clone().float(), optimizer.state[p]["exp_avg"].clone()
    optimizer.step()
    assert slalom.explain(optimizer).rows[0][3] == "llvm"
    assert optimizer.state[p]["exp_avg"].dtype == torch.float32
    torch.testing.assert_close(optimizer.state[p]["exp_avg"], 0.9 * q + 0.1 * p.grad.float())
    assert p.dtype == torch.bfloat16
    assert not torch.equal(p.float(), exact)
