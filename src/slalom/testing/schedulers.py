"""Checks under every learning-rate scheduler of torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer, lr_scheduler, swa_utils

from slalom.testing.subject import Subject, apart, gradients, parameters, run, starts

STEPS = 50

SCHEDULERS: dict[str, Callable[[Optimizer], Any]] = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 0.95**epoch),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda epoch: 0.97),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 7, gamma=0.5),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [5, 20], gamma=0.3),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, factor=0.5, total_iters=9),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, start_factor=0.1, total_iters=30),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, total_iters=40, power=2.0),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=20),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=7),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(
        o, 0.001, 0.02, step_size_up=6, cycle_momentum=_cycles(o)
    ),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(
        o, 0.02, total_steps=STEPS + 1, cycle_momentum=_cycles(o)
    ),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=2),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o, 0.2, total_iters=4), lr_scheduler.ExponentialLR(o, 0.95)]
    ),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1), lr_scheduler.ExponentialLR(o, 0.9)], milestones=[6]
    ),
    "SWALR": lambda o: swa_utils.SWALR(o, swa_lr=0.003, anneal_epochs=5),
}
"""How each scheduler is made here."""


def _cycles(optimizer: Optimizer) -> bool:
    return "momentum" in optimizer.defaults or "betas" in optimizer.defaults


def _settings(optimizer: Optimizer) -> dict[str, Any]:
    group = optimizer.param_groups[0]
    return {name: group[name] for name in ("lr", "momentum", "betas") if name in group}


def every_scheduler(subject: Subject) -> None:
    """50 steps under each of torch's schedulers equal 50 steps with its rates set by hand.

    And they differ from 50 steps at the rate of the first, if lr counts after the first step.
    """
    known = {*lr_scheduler.__all__, "SWALR"} - {"LRScheduler"}
    assert known <= SCHEDULERS.keys(), f"no check knows {sorted(known - SCHEDULERS.keys())}"
    values = starts(shapes=[(3, 4), (5,)])
    grads = gradients(values, STEPS)
    kept = subject.kept_rate
    follows = kept is None or not kept[1]
    for name, schedule in SCHEDULERS.items():
        params = parameters(values)
        optimizer = subject.make(params, lr=0.01)
        scheduler = schedule(optimizer)
        rates, settings = [], []
        for row in grads:
            settings.append(_settings(optimizer))
            rates.append(float(settings[-1]["lr"]))
            for param, grad in zip(params, row, strict=True):
                param.grad = grad.clone()
            optimizer.step()
            scheduler.step(*([1.0] if name == "ReduceLROnPlateau" else []))
        assert rates == _rates(name), f"under {name} its lr goes another way than torch's SGD's"
        subject.same(params, _by_hand(subject, values, grads, settings), f"under {name}")
        if follows and len(set(rates)) > 1:
            flat = _by_hand(subject, values, grads, [settings[0]] * STEPS)
            differ = all(apart(a, b) for a, b in zip(params, flat, strict=True))
            assert differ, f"under {name} it goes as with the lr of its first step"


def _rates(name: str) -> list[float]:
    """The rates that the scheduler sets for an optimizer of torch."""
    param = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([param], lr=0.01)
    scheduler = SCHEDULERS[name](optimizer)
    rates = []
    for _ in range(STEPS):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step(*([1.0] if name == "ReduceLROnPlateau" else []))
    return rates


def _by_hand(subject: Subject, values: Any, grads: Any, settings: list[dict[str, Any]]) -> Any:
    def make(params: Any) -> Optimizer:
        optimizer = subject.plain(params, lr=0.01)
        steps = iter(settings)

        def adjust(*_: Any) -> None:
            optimizer.param_groups[0].update(next(steps))

        optimizer.register_step_pre_hook(adjust)
        return optimizer

    return run(make, values, grads)


CHECKS = (every_scheduler,)
