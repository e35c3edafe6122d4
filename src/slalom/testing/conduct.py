"""Checks of what a step leaves alone, and of what it takes as it finds it."""

from __future__ import annotations

import gc

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from slalom.testing.subject import Subject, gradients, parameters, run, starts, walk


def _under_way(subject: Subject) -> tuple[Optimizer, list[Parameter], list[Tensor]]:
    """An optimizer that has made some steps, its parameters, and gradients for one more."""
    values = starts()
    params = parameters(values)
    optimizer = subject.make(params)
    *first, last = gradients(values, 4)
    walk(optimizer, params, first)
    return optimizer, params, last


def leaves_the_random_generator_alone(subject: Subject) -> None:
    """What is drawn after a step (dropout, the next batch) is what would have been drawn."""
    values = starts()
    before = torch.get_rng_state()
    run(subject.make, values, gradients(values, 3))
    assert torch.equal(torch.get_rng_state(), before), (
        "it takes numbers from torch's global generator"
    )


def tells_autograd_what_it_writes(subject: Subject) -> None:
    """A graph that saved a parameter refuses to go backward once that was updated."""
    values = starts()
    params = parameters(values)
    optimizer = subject.make(params)
    for row in gradients(values, 2):
        versions = [p._version for p in params]
        walk(optimizer, params, [row])
        told = [p._version > v for p, v in zip(params, versions, strict=True) if p.numel()]
        assert all(told), "it writes to parameters behind autograd's back"


def takes_parameters_as_they_are(subject: Subject) -> None:
    """Weights that were loaded into the model between two steps are the ones updated."""
    optimizer, params, last = _under_way(subject)
    with torch.no_grad():
        for p in params:
            p.fill_(1000.0)
    walk(optimizer, params, [last])
    kept = [bool((p.detach().real > 500).all()) for p in params]
    assert all(kept), "it overwrites what was put into a parameter after its first step"


def updates_whatever_has_a_gradient(subject: Subject) -> None:
    """torch looks at ``grad`` alone: a parameter frozen after backward is still updated."""
    optimizer, params, last = _under_way(subject)
    for p in params:
        p.requires_grad_(False)
    before = [p.clone() for p in params]
    walk(optimizer, params, [last])
    moved = [not torch.equal(p, b) for p, b in zip(params, before, strict=True) if p.numel()]
    assert all(moved), "it leaves a parameter out that has a gradient and requires none"


def keeps_no_more_from_step_to_step(subject: Subject) -> None:
    values = starts()
    params = parameters(values)
    optimizer = subject.make(params)
    grads = gradients(values, 1) * 5
    counts = []
    gc.freeze()  # what was there before is not looked through each time
    try:
        for _ in range(3):
            walk(optimizer, params, grads)
            gc.collect()
            counts.append(sum(1 for o in gc.get_objects() if type(o) is Tensor))
    finally:
        gc.unfreeze()
    assert counts[2] <= counts[1], f"{counts[2] - counts[1]} tensors more are alive after 5 steps"


CHECKS = (
    leaves_the_random_generator_alone, tells_autograd_what_it_writes, takes_parameters_as_they_are,
    updates_whatever_has_a_gradient, keeps_no_more_from_step_to_step,
)  # fmt: skip
