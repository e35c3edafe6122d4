"""Tensors of every kind as parameter, gradient and state: torch's result, or a sentence.

Each is stepped between two plain parameters in a process of its own, which a fault would end; the
gradients also ``later``, when a step with an ordinary one has been made.
"""

from __future__ import annotations

from functools import cache

import odd_tensors
import pytest

from served import Started

SERVED = (
    *("gradient " + kind for kind in (
        "zero", "of sgn", "wrapper", "named", "of a collective", "negated", "conjugated",
        "expanded", "with gaps", "sparse", "of bfloat16", "of doubles",
        "with gaps in the parameter",
    )),
    *("state " + kind for kind in (
        "zero", "wrapper", "two", "of a collective", "negated", "expanded", "in inference",
    )),
    *("parameter " + kind for kind in (
        "two", "named", "of a collective", "distributed", "negated", "conjugated",
        "with gaps", "meta", "empty", "of no axes", "nested, jagged",
        "with gaps, gradient shifted in it",
    )),
    "distributed parameter and gradient",
)  # fmt: skip

REFUSED = {
    "gradient distributed": "is a plain tensor and its gradient is a DTensor",
    "distributed parameter, plain gradient": "is a DTensor and its gradient is a plain tensor",
    "gradient spent": "used and freed inside backward",
    "gradient shifted in the parameter": "is a shifted view of the memory of",
    "gradient reversed in the parameter": "is a shifted view of the memory of",
    "parameter zero": "ZeroTensor",
    "parameter expanded": "more than one element",
    "parameter overlapping itself": "more than one element",
    "parameter of integers": "torch.int64",
    "parameter of truths": "torch.bool",
    "parameter quantised": "torch.qint8",
    "parameter sparse csr": "torch.sparse_csr",
    "state distributed": "one is a DTensor and the other is not",
    "state meta": "meta device",
    "state of integers": "torch.int64",
    "state that is the parameter": "share memory",
    "state that is the gradient": "share memory",
    "state shifted in the parameter": "share memory",
}


SERVED += tuple(f"{name}, later" for name in SERVED if name.startswith("gradient "))
REFUSED |= {
    f"{name}, later": said
    for name, said in REFUSED.items()
    if name.startswith("gradient ") and name != "gradient spent"
}


@cache
def found(backend: str) -> dict[str, str]:
    """Name -> ``same`` or what was said, of every kind that was tried."""
    run = Started(odd_tensors.main, backend).ended()
    lines = [line.split("\t") for line in run.stdout.splitlines()]
    assert run.returncode == 0, f"ended with {run.returncode} at {lines[-1:]}\n{run.stderr}"
    return {name: said for name, said, *_ in lines}


@pytest.mark.parametrize("backend", ["llvm", "foreach"])
@pytest.mark.parametrize("name", SERVED)
def test_served_as_by_torch(backend, name):
    assert found(backend)[name] == "same"


@pytest.mark.parametrize("backend", ["llvm", "foreach"])
@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_a_sentence_and_nothing_changed(backend, name):
    said = found(backend)[name]
    assert "Error: " in said
    assert REFUSED[name] in said
    assert not said.endswith("[changed]")


@pytest.mark.parametrize("backend", ["llvm", "foreach"])
def test_all_the_others_are_served_or_refused(backend):
    for name, said in found(backend).items():
        fine = said == "same" or said.startswith(("cannot be made", "RefusedTensorError: "))
        assert fine or name in REFUSED, f"{name}: {said}"
