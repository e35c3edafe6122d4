"""Try one kind of tensor after another in a process that it may end; prints a line for each.

:func:`main` prints the name, then ``same`` where the result was torch's, else the
error's class and text, then ``changed`` if anything was different after an error.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.testing._internal.two_tensor import TwoTensor

import slalom
from slalom.backends import using

SIZE = 6


class Wrapper(Tensor):
    """Holds another tensor and no memory of its own."""

    @staticmethod
    def __new__(cls, inner: Tensor) -> Wrapper:
        made = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, inner.shape, dtype=inner.dtype, strides=inner.stride()
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        def bare(x: Any) -> Any:
            if isinstance(x, Wrapper):
                return x.inner
            return [bare(y) for y in x] if isinstance(x, list | tuple) else x

        kwargs = {name: bare(value) for name, value in (kwargs or {}).items()}
        result = function(*map(bare, args), **kwargs)
        written = function._schema.is_mutable and args and isinstance(args[0], Wrapper)
        return args[0] if written else result


class Named(Tensor):
    """A subclass with memory, as ``Tensor._make_subclass`` makes it."""


def plain() -> Tensor:
    return torch.arange(1.0, SIZE + 1)


Case = tuple[Parameter, Tensor | None, dict[str, Tensor]]
"""A parameter, its gradient, and states to be put in place of those made in a first step."""

CASES: dict[str, Callable[[], Case]] = {}


def of_gradient(name: str, make: Callable[[], Tensor]) -> None:
    CASES[f"gradient {name}"] = lambda: (Parameter(torch.ones(make().shape)), make(), {})


def of_state(name: str, make: Callable[[], Tensor]) -> None:
    CASES[f"state {name}"] = lambda: (Parameter(torch.ones(SIZE)), plain(), {"buffer": make()})


def of_param(name: str, make: Callable[[], Tensor]) -> None:
    def case() -> Case:
        param: Any = make()
        param = (
            param if isinstance(param, Parameter) else Parameter(param, param.is_floating_point())
        )
        return param, torch.ones_like(param, dtype=None), {}

    CASES[f"parameter {name}"] = case


def zero() -> Tensor:
    return torch._efficientzerotensor(SIZE)


def sgn() -> Tensor:
    x = torch.randn(SIZE, requires_grad=True)
    torch.sgn(x).sum().backward()
    assert x.grad is not None
    return x.grad


def collective() -> Tensor:
    import torch.distributed._functional_collectives as functional

    return functional.all_reduce(plain(), "sum", torch.distributed.group.WORLD)


def distributed() -> Tensor:
    from torch.distributed.tensor import Replicate, distribute_tensor, init_device_mesh

    return distribute_tensor(plain(), init_device_mesh("cpu", (1,)), [Replicate()])


def wide() -> Tensor:
    return torch.zeros(SIZE, 2)[:, 0].copy_(plain())


KINDS: dict[str, Callable[[], Tensor]] = {
    "plain": plain,
    "zero": zero,
    "of sgn": sgn,
    "wrapper": lambda: Wrapper(plain()),
    "two": lambda: TwoTensor(plain(), plain()),
    "named": lambda: plain().as_subclass(Named),
    "of a collective": collective,
    "distributed": distributed,
    "negated": lambda: torch._neg_view(plain()),
    "with gaps": wide,
    "expanded": lambda: torch.ones(1).expand(SIZE),
    "meta": lambda: plain().to("meta"),
    "of bfloat16": lambda: plain().bfloat16(),
    "of doubles": lambda: plain().double(),
    "in inference": torch.inference_mode()(plain),
}
for _name, _make in KINDS.items():
    if _name not in ("two", "meta"):  # one writes a plain tensor twice, torch takes no such other
        of_gradient(_name, _make)
    of_state(_name, _make)
    of_param(_name, _make)
of_gradient("sparse", lambda: torch.eye(3).to_sparse())
of_gradient("sparse csr", lambda: torch.eye(3).to_sparse_csr())
of_gradient("sparse csc", lambda: torch.eye(3).to_sparse_csc())
of_gradient("sparse bsr", lambda: torch.eye(4).to_sparse_bsr((2, 2)))
of_gradient("mkldnn", lambda: plain().to_mkldnn())
of_param("sparse", lambda: torch.eye(3).to_sparse())
of_param("sparse csr", lambda: torch.eye(3).to_sparse_csr())
of_param("mkldnn", lambda: plain().to_mkldnn())
of_param("of integers", lambda: torch.ones(SIZE, dtype=torch.int64))
of_param("of truths", lambda: torch.ones(SIZE, dtype=torch.bool))
of_param("quantised", lambda: torch.quantize_per_tensor(plain(), 0.1, 0, torch.qint8))
of_param("nested", lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]))
of_param("nested, jagged", lambda: torch.nested.nested_tensor(
    [torch.ones(2, 2), torch.ones(3, 2)], layout=torch.jagged))  # fmt: skip
of_param("of complex", lambda: torch.ones(SIZE, dtype=torch.complex64))
of_param("conjugated", lambda: torch.ones(SIZE, dtype=torch.complex64).conj())
of_param("empty", lambda: torch.ones(0))
of_param("of no axes", lambda: torch.ones(()))


def add(name: str) -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    return lambda make: CASES.setdefault(name, make)


@add("gradient conjugated")
def _() -> Case:
    return (
        Parameter(torch.ones(SIZE, dtype=torch.complex64)),
        torch.full((SIZE,), 1 + 2j, dtype=torch.complex64).conj(), {},
    )  # fmt: skip


@add("gradient spent")
def _() -> Case:
    model = torch.nn.Linear(SIZE, 1, bias=False)
    slalom.release(model, slalom.optim.SGD(model.parameters(), lr=0.1))
    model(torch.ones(1, SIZE)).sum().backward()
    return model.weight, model.weight.grad, {}


@add("gradient shifted in the parameter")
def _() -> Case:
    memory = torch.ones(SIZE + 1)
    return Parameter(memory[:SIZE]), memory[1:], {}


@add("gradient the parameter itself")
def _() -> Case:
    param = Parameter(torch.ones(SIZE))
    return param, param.detach(), {}


@add("gradient reversed in the parameter")
def _() -> Case:
    memory = torch.arange(4.0)
    return Parameter(memory.view(2, 2)), memory.view(2, 2).t(), {}


@add("gradient one element of the parameter")
def _() -> Case:
    memory = torch.arange(float(SIZE))
    return Parameter(memory), memory[2:3].expand(SIZE), {}


@add("gradient with gaps in the parameter")
def _() -> Case:
    memory = torch.arange(2.0 * SIZE)
    return Parameter(memory[:SIZE]), memory[::2], {}


@add("parameter with gaps, gradient shifted in it")
def _() -> Case:
    memory = torch.arange(2.0 * SIZE + 2)
    return Parameter(memory[: 2 * SIZE : 2]), memory[2::2], {}


@add("parameter overlapping itself")
def _() -> Case:
    return Parameter(torch.ones(SIZE).as_strided((3, 3), (1, 1))), torch.ones(3, 3), {}


@add("state that is the parameter")
def _() -> Case:
    param = Parameter(torch.ones(SIZE))
    return param, plain(), {"buffer": param.detach()}


@add("state that is the gradient")
def _() -> Case:
    grad = plain()
    return Parameter(torch.ones(SIZE)), grad, {"buffer": grad}


@add("state shifted in the parameter")
def _() -> Case:
    memory = torch.ones(SIZE + 1)
    return Parameter(memory[:SIZE]), plain(), {"buffer": memory[1:]}


@add("state expanded")
def _() -> Case:
    return Parameter(torch.ones(SIZE)), plain(), {"buffer": torch.ones(1).expand(SIZE)}


@add("state of integers")
def _() -> Case:
    return Parameter(torch.ones(SIZE)), plain(), {"buffer": torch.ones(SIZE, dtype=torch.int64)}


@add("state sparse")
def _() -> Case:
    return Parameter(torch.eye(3)), torch.eye(3), {"buffer": torch.eye(3).to_sparse()}


@add("distributed parameter, plain gradient")
def _() -> Case:
    return Parameter(distributed()), plain(), {}


@add("distributed parameter and gradient")
def _() -> Case:
    return Parameter(distributed()), distributed(), {}


def values(tensors: Iterator[Tensor]) -> list[Any]:
    found = []
    for t in tensors:
        try:
            t = t.full_tensor() if hasattr(t, "full_tensor") else t
            t = t.a if isinstance(t, TwoTensor) else t.inner if isinstance(t, Wrapper) else t
            with torch.no_grad():
                t = t.detach().to_dense() if t.layout != torch.strided else t.detach().clone()
            found.append([complex(x) for x in t.resolve_conj().flatten().tolist()])
        except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
            found.append(type(error).__name__)
    return found


def materialised(param: Parameter, grad: Tensor | None, states: dict[str, Tensor]) -> Case:
    """The same in memory of their own, as any optimizer understands it."""

    def own(tensor: Any) -> Tensor:
        tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor.detach()
        return tensor.to_dense().clone(memory_format=torch.contiguous_format)

    return (
        Parameter(own(param)), None if grad is None else own(grad),
        {name: own(value) for name, value in states.items()},
    )  # fmt: skip


def close(a: Any, b: Any, tolerance: float = 1e-5) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(close(x, y, tolerance) for x, y in zip(a, b, strict=True))
    return a == b or (isinstance(a, complex) and abs(a - b) <= tolerance * max(1.0, abs(b)))


def give(param: Any, grad: Tensor | None) -> None:
    """Let it be the gradient, of whatever dtype it is."""
    if grad is not None and grad is not param.grad:
        if grad.dtype != param.dtype:
            param.grad_dtype = None
        param.grad = grad


def attempt(library: Any, make: Callable[[], Case], later: bool) -> tuple[str, list[Any]]:
    """What came of two steps between plain parameters, and the values then.

    ``later`` makes an ordinary step before.
    """
    torch.manual_seed(0)
    param, grad, states = make()
    beside = [Parameter(torch.full((3,), 2.0)) for _ in range(2)]
    options = {"foreach": False} if library is torch.optim else {}
    optimizer = library.SGD([beside[0], param, beside[1]], lr=0.1, momentum=0.9, **options)

    def kept() -> Iterator[Tensor]:
        for p in optimizer.param_groups[0]["params"]:
            yield p
            yield from (s for s in optimizer.state.get(p, {}).values() if s is not None)

    for p in beside:
        p.grad = torch.ones(3)
    if states or later:
        param.grad = torch.ones(param.shape, dtype=param.dtype)
        optimizer.step()
    if states:
        optimizer.state[param]["momentum_buffer"] = states["buffer"]
    give(param, grad)
    before = values(kept())
    try:
        optimizer.step()
        optimizer.step()
    except Exception as error:
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return said + ("" if close(values(kept()), before) else " [changed]"), before
    return "stepped", values(kept())


for _name in [n for n in CASES if n.startswith("gradient ") and n != "gradient spent"]:
    CASES[f"{_name}, later"] = CASES[_name]


def main(backend: str) -> None:
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/meet", rank=0, world_size=1
        )
        for name, make in CASES.items():
            later = name.endswith("later")
            print(name, end="\t", flush=True)
            try:
                give(*make()[:2])
            except Exception as error:
                print(f"cannot be made: {' '.join(str(error).split())}", flush=True)
                continue
            torchs, expected = attempt(torch.optim, make, later)
            with using(backend, "foreach"):
                said, got = attempt(slalom.optim, make, later)
            if said == "stepped":
                if torchs != "stepped":
                    _, expected = attempt(
                        torch.optim, lambda make=make: materialised(*make()), later
                    )
                tolerance = 0.02 if "bfloat16" in name else 1e-5
                said = "same" if close(got, expected, tolerance) else f"{got} NOT {expected}"
            print(said, torchs, sep="\t", flush=True)
    sys.stdout.flush()
    os._exit(0)  # without waiting for anybody's threads
