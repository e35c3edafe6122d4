"""Checks of what outlives a run: checkpoints, copies, and that two optimizers share nothing."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import torch

from slalom.testing.subject import (
    NotApplicable,
    Subject,
    gradients,
    in_two_groups,
    parameters,
    run,
    starts,
    walk,
)


def resumes_from_a_checkpoint(subject: Subject) -> None:
    """Interrupted by torch.save and torch.load, it goes on as if it had not been.

    Its groups too: what was changed in them before comes back, whatever the class is made with.
    """
    values = starts()
    grads = gradients(values, 8)
    ends = []
    for interrupted in (False, True):
        optimizer, params = in_two_groups(lambda p: subject.make(p, lr=0.01), values)
        optimizer.param_groups[1]["lr"] = 0.03
        walk(optimizer, params, grads[:4])
        if interrupted:
            stream = io.BytesIO()
            torch.save(optimizer.state_dict(), stream)
            stream.seek(0)
            saved = torch.load(stream, weights_only=True)
            before = repr(saved)
            optimizer, params = in_two_groups(lambda p: subject.make(p, lr=0.7), params)
            optimizer.load_state_dict(saved)
            rates = [group["lr"] for group in optimizer.param_groups]
            assert rates == [0.01, 0.03], f"a checkpoint of lr 0.01 and 0.03 comes back as {rates}"
            assert repr(saved) == before, "load_state_dict() changes what it is given"
        ends.append(walk(optimizer, params, grads[4:]))
    subject.close(ends[1], ends[0], 0.0, "resumed from a checkpoint")


def saving_changes_nothing(subject: Subject) -> None:
    """Asked for its state after every step, it goes on as if nobody had asked."""
    values = starts()
    grads = gradients(values, 6)
    saved = run(subject.make, values, grads, before=lambda optimizer, _: optimizer.state_dict())
    subject.close(saved, run(subject.make, values, grads), 0.0, "saved before every step")


def checkpoints_are_the_references(subject: Subject) -> None:
    """Each loads the other's checkpoint, whose states have the same names, shapes and dtypes."""
    if subject.reference is None:
        raise NotApplicable("no reference was given")
    values = starts()
    grads = gradients(values, 8)
    saved = {}
    for kind, make in (("own", subject.make), ("reference", subject.plain)):
        params = parameters(values)
        optimizer = make(params)
        walk(optimizer, params, grads[:4])
        saved[kind] = (copy.deepcopy(optimizer.state_dict()), params)
    own, other = (saved[kind][0]["state"] for kind in ("own", "reference"))
    assert _described(own) == _described(other), (
        f"its states are {_described(own)}, the reference's {_described(other)}"
    )
    whole = run(subject.plain, values, grads)
    for source, make in (("own", subject.plain), ("reference", subject.make)):
        checkpoint, at = saved[source]
        params = parameters(at)
        optimizer = make(params)
        optimizer.load_state_dict(checkpoint)
        end = walk(optimizer, params, grads[4:])
        subject.same(end, whole, f"resumed by the other from its {source} checkpoint")


def _described(states: dict[Any, dict[str, Any]]) -> Any:
    return {
        key: [(name, tuple(t.shape), t.dtype) for name, t in state.items() if t is not None]
        for key, state in states.items()
    }


def copies_go_on_alike(subject: Subject) -> None:
    """A copy goes the way of the original, with parameters, states and groups of its own."""
    values = starts()
    grads, later = gradients(values, 3), gradients(values, 3, seed=2)
    for copier in (copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))):
        params = parameters(values)
        optimizer = subject.make(params, lr=0.01)
        optimizer.param_groups[0]["lr"] = 0.02
        walk(optimizer, params, grads)
        twin = copier(optimizer)
        twins = twin.param_groups[0]["params"]
        assert all(a is not b for a, b in zip(params, twins, strict=True)), "a copy shares tensors"
        before = parameters(params)
        gone = parameters(walk(twin, twins, later))
        subject.close(params, before, 0.0, "the original, after steps of its copy")
        twin.param_groups[0]["lr"] = 0.0
        assert optimizer.param_groups[0]["lr"] == 0.02, "a copy shares its groups"
        subject.close(gone, walk(optimizer, params, later), 0.0, "a copy")


def two_optimizers_share_nothing(subject: Subject) -> None:
    """Two of a class, taking turns, go as each would alone."""
    values = [starts(), starts(seed=7)]
    grads = [gradients(values[0], 5), gradients(values[1], 5, seed=8)]
    alone = [run(subject.plain, v, g) for v, g in zip(values, grads, strict=True)]
    params = [parameters(v) for v in values]
    optimizers = [subject.make(p) for p in params]
    for rows in zip(*grads, strict=True):
        for optimizer, of_it, row in zip(optimizers, params, rows, strict=True):
            walk(optimizer, of_it, [row])
    for got, expected in zip(params, alone, strict=True):
        subject.same(got, expected, "beside another optimizer of its class")


CHECKS = (
    resumes_from_a_checkpoint, saving_changes_nothing, checkpoints_are_the_references,
    copies_go_on_alike, two_optimizers_share_nothing,
)  # fmt: skip
