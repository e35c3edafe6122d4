"""Every rule, compiled and eager, against itself in float64: any shapes, any hyper-parameters."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import slalom
from reference import distance, trajectory
from slalom.kernel.plan import Plan
from slalom.rules import RULES, Rule

TOLERANCE = {torch.float32: 5e-6, torch.float64: 1e-12}

FITS = 1e18
"""What has a square in float32; some settings of some rules grow beyond it in 25 steps."""

CLASSES = {name: slalom.optimizer(rule) for name, rule in RULES.items()}

NUMBERS: dict[str, st.SearchStrategy[Any]] = {
    "lr": st.floats(1e-4, 0.1),
    "momentum": st.just(0) | st.floats(0.1, 0.99),
    "dampening": st.just(0) | st.floats(0.0, 0.9),
    "weight_decay": st.just(0) | st.floats(1e-4, 0.1),
    "lr_decay": st.just(0) | st.floats(1e-3, 0.5),
    "initial_accumulator_value": st.just(0) | st.floats(0.1, 2.0),
    "alpha": st.floats(0.8, 0.999),
    "eps": st.floats(1e-10, 1e-3),
    "betas": st.tuples(st.floats(0.0, 0.99), st.floats(0.5, 0.9999)),
    "rho": st.floats(0.5, 0.99),
    "lambd": st.floats(1e-5, 1e-2),
    "t0": st.floats(1, 30),
    "etas": st.tuples(st.floats(0.2, 0.8), st.floats(1.05, 1.5)),
    "step_sizes": st.tuples(st.floats(1e-6, 1e-3), st.floats(0.2, 5.0)),
    "momentum_decay": st.floats(1e-3, 1e-2),
    "final_lr": st.floats(0.01, 0.5),
    "gamma": st.floats(1e-4, 1e-2),
    "warmup_steps": st.integers(0, 10),
    "base_lr": st.none() | st.floats(1e-3, 0.1),
}
OF_A_RULE = {
    ("adan", "betas"): st.tuples(*[st.floats(0.5, 0.99)] * 3),
    ("schedule_free_sgd", "momentum"): st.floats(0.3, 0.99),
    ("schedule_free_adamw", "betas"): st.tuples(st.floats(0.3, 0.99), st.floats(0.5, 0.9999)),
    ("asgd", "alpha"): st.floats(0.5, 1.0),
}
"""Where a name means something else in one rule than in the others."""


@st.composite
def hypers_of(draw: st.DrawFn, rule: Rule) -> dict[str, Any]:
    """Any hyper-parameters that the rule's class accepts."""
    hypers = {
        name: draw(
            st.booleans()
            if isinstance(default, bool)
            else OF_A_RULE.get((rule.name, name), NUMBERS.get(name))
        )
        for name, default in rule.hypers.items()
    }
    if hypers.get("nesterov"):
        hypers["momentum"] = hypers["momentum"] or 0.9
        if "dampening" in hypers:
            hypers["dampening"] = 0
    return hypers


shapes = st.lists(
    st.lists(st.integers(0, 9), max_size=3).map(tuple) | st.just((70, 50)), min_size=1, max_size=5
)


def eagerly(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Plan.__init__

    def without_machine_code(self: Plan, *args: Any) -> None:
        original(self, *args, use_machine_code=False)

    monkeypatch.setattr(Plan, "__init__", without_machine_code)


@pytest.mark.parametrize("backend", ["llvm", "eager"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_any_step_equals_the_reference(rule: Rule, dtype: torch.dtype, backend: str, recwarn):
    with pytest.MonkeyPatch.context() as patch:
        if backend == "eager":
            eagerly(patch)

        @given(hypers=hypers_of(rule), shapes=shapes, seed=st.integers(0, 2**31), n=steps)
        def check(hypers, shapes, seed, n):
            generator = torch.Generator().manual_seed(seed)
            starts = [torch.randn(s, generator=generator, dtype=dtype) for s in shapes]
            grads = [
                [torch.randn(s, generator=generator, dtype=dtype) for s in shapes] for _ in range(n)
            ]
            params = [torch.nn.Parameter(s.clone()) for s in starts]
            optimizer = CLASSES[rule.name](params, **hypers)
            for row in grads:
                for param, grad in zip(params, row, strict=True):
                    param.grad = grad
                optimizer.step()
            backends = {row[3] for row in slalom.explain(optimizer).rows}
            assert backends == {backend}
            for i, (param, start) in enumerate(zip(params, starts, strict=True)):
                path = trajectory(rule, start, [row[i] for row in grads], **hypers)
                assume((path.abs() < FITS).all())
                # what is lost where large values cancel is lost to every way of computing
                assert distance(param, path[-1], scale=path) <= TOLERANCE[dtype]

        check()


steps = st.sampled_from([1, 2, 25])


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_threads_change_no_bit(rule: Rule, dtype: torch.dtype):
    shapes = [(200_003,), (7,), (333, 501), (1,), (0,), (100_000,)]
    starts = [torch.randn(s, dtype=dtype) for s in shapes]
    grads = [torch.randn(s, dtype=dtype) for s in shapes]
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        params = [torch.nn.Parameter(s.clone()) for s in starts]
        optimizer = CLASSES[rule.name](params, lr=0.01)
        for _ in range(3):
            for param, grad in zip(params, grads, strict=True):
                param.grad = grad
            optimizer.step()
        results.append([p.detach().clone() for p in params])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_place_of_an_element_changes_no_bit(rule: Rule):
    """The loop's vector body and its remainder round alike."""
    start, grad = torch.randn(37).repeat(40)[:1187], torch.randn(37).repeat(40)[:1187]
    param = torch.nn.Parameter(start.clone())
    optimizer = CLASSES[rule.name]([param], lr=0.01)
    for _ in range(5):
        param.grad = grad.clone()
        optimizer.step()
    whole = param.detach()[: 37 * 32].view(32, 37)
    assert torch.equal(whole, whole[:1].expand_as(whole))
    assert torch.equal(param.detach()[-3:], param.detach()[0:37][(1187 - 3) % 37 :][:3])
