"""A run of several processes, each of which holds a part of every parameter (FSDP2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from slalom.backends.refusals import RefusedTensorError
from slalom.errors import InputError
from slalom.train.evaluation import Evaluation
from slalom.train.guarded import finite
from slalom.train.objective import Supervised
from slalom.train.ranks import together
from slalom.train.reduction import Reduction
from slalom.train.shared import SharedRun
from slalom.train.tree import mapped, rows

OF_TORCH = ("_fsdp", "_is_fsdp", "__composable_api")
"""How the names of attributes begin that ``fully_shard`` gives to a model."""


class ShardedRun(SharedRun):
    """A :class:`SharedRun` whose parameters, gradients and states are divided among processes.

    ``torch.distributed.fsdp.fully_shard`` gathers the parameters of a block when they are needed:
    blocks are the elements of a list or sequence that are of one class of the user's own; what is
    in none is gathered as a whole. What :meth:`state_dict` gives is that of a run which is not
    sharded, so that one may go on as the other, with any number of processes; it takes the memory
    of the whole. The model must be called as a whole, for it is gathered then.

    Raises :class:`InputError` for what cannot be trained so.
    """

    _share = 1.0
    """How much a batch counts in this process, of one that all go through: each a part."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        learns = any(self.objective.modules_that_learn())
        for what, given in (
            ("a step= with parameters of its own", learns and not self._called_whole),
            ("a model that is trained in parts", len(self.objective.turns) > 1),
        ):
            if given:
                raise InputError(f"{what} cannot be sharded; train it without shard")
        if not any(isinstance(p, _dtensor()) for p in self._parameters):
            raise InputError("the model has no parameters that could be sharded")

    @property
    def _called_whole(self) -> bool:
        """Whether a loss that learns is called as a module, which is when it is gathered."""
        return isinstance(self.objective, Supervised)

    def _placed(self, module: nn.Module) -> nn.Module:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(self.task.device.type, (self.ranks.size,))
        for block in blocks(module):
            fully_shard(block, mesh=mesh)
        fully_shard(module, mesh=mesh)
        return module

    def _averaging(self, average: Any) -> AveragedModel:
        def of_parts(averages: Any, weights: Any, n: Any) -> None:
            average([_local(t) for t in averages], [_local(t) for t in weights], n)

        whole = self.task.make_model(self.seed)  # a sharded one cannot be copied
        found = AveragedModel(whole, multi_avg_fn=of_parts)
        self._placed(found.module)
        return found

    def _parts(self, batches: Any) -> Iterator[tuple[Any, int]]:
        """Of each batch the samples of this process; all of them, in every process, where one of
        them would have none that count: each has to call the model equally often."""
        size, kind = self.ranks.size, self.task.reduction
        drawn: Any = batches() if callable(batches) else batches
        for batch, n in drawn:
            cuts = [n * rank // size for rank in range(size + 1)]
            spans = list(pairwise(cuts))
            all_count = all(
                begin < end and kind.shares(rows(batch, n, begin, end), end - begin)[0]
                for begin, end in spans
            )
            self._share = 1.0 if all_count else 1.0 / size
            begin, end = spans[self.ranks.rank] if all_count else (0, n)
            yield (rows(batch, n, begin, end) if all_count else batch), end - begin

    @property
    def _reduction(self) -> Reduction:
        return _Shared(self)

    def _backward(self, loss: Any) -> None:
        # the mean over all processes is taken of gradients, and their sum is what is wanted
        factor = float(self.ranks.size)
        if self.task.reduction.kind == "sum" and not self._whole:  # else its weight has the share
            factor *= self._share
        super()._backward(loss * factor)

    def _together(self, total: float, weights: float) -> tuple[float, float]:
        numbers = torch.tensor([total, weights], dtype=torch.float64, device=self.task.device)
        self.ranks.add([numbers])
        total, weights = numbers.tolist()
        return total, weights

    def advance(self, steps: int) -> float:
        try:
            with together(alone=False):
                return super().advance(steps)
        except RefusedTensorError as error:  # of what a rule takes whole alone
            raise InputError(f"{error}; that is, train it without shard") from error

    def evaluate(self) -> Evaluation:
        with together(alone=False):
            return super().evaluate()

    def _finite(self, tensors: Iterable[Tensor]) -> bool:
        return all(self.ranks.all(finite([_local(t) for t in tensors])))

    def weights(self) -> dict[str, Tensor]:
        """As of a :class:`Run`, whole: all processes have to ask for them."""
        with self.at_their_best():
            return {n: _whole(t).cpu().clone() for n, t in self.judged.state_dict().items()}

    def trained(self) -> nn.Module:
        model = self.task.make_model(self.seed)
        model.load_state_dict(self.weights())
        return model.eval()

    def state_dict(self) -> dict[str, Any]:
        """As of a run that is not sharded: all processes have to ask for it."""
        found = super().state_dict()
        found["attributes"] = [a for a in found["attributes"] if not a[1].startswith(OF_TORCH)]
        return mapped(lambda v: _whole(v) if isinstance(v, Tensor) else v, found)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As of a run that is not sharded."""
        with torch.no_grad():
            model, *losses = (
                self._alike(values, module.state_dict())
                for values, module in zip(
                    [state["model"], *state["objective"]], self._modules, strict=True
                )
            )
            others = dict(state["others"])
            if self._average is not None:
                others["average"] = self._alike(others["average"], self._average.state_dict())
            parameters = [p for g in self.optimizer.param_groups for p in g["params"]]
            kept = state["optimizer"]["state"]
            states = {
                key: self._alike(own, dict.fromkeys(own, parameters[key]))
                for key, own in kept.items()
            }
        optimizer = {**state["optimizer"], "state": states}
        more = {"model": model, "objective": losses, "others": others, "optimizer": optimizer}
        super().load_state_dict({**state, **more})

    def _alike(self, values: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
        """The values, those of the shape of what they are like divided as that is."""
        from torch.distributed.tensor import distribute_tensor

        found = dict(values)
        for name, value in values.items():
            other: Any = like.get(name)
            divided = isinstance(other, _dtensor()) and isinstance(value, Tensor)
            if divided and value.shape == other.shape:
                here = value.to(self.task.device)
                found[name] = distribute_tensor(here, other.device_mesh, other.placements)
        return found


class _Shared(Reduction):
    """How batches are put together where some are gone through by all processes."""

    def __init__(self, run: ShardedRun):
        super().__init__(run.task.reduction.kind, run.task.reduction.weight)
        object.__setattr__(self, "_run", run)

    def shares(self, batch: Any, n: int) -> tuple[float, float]:
        factor, weight = super().shares(batch, n)
        share = self._run._share  # type: ignore[attr-defined]
        return factor * share, weight * share


def blocks(model: nn.Module) -> list[nn.Module]:
    """Parts of a model that are gathered one after the other: elements of its lists and sequences
    that are of one class of the user's own, share no parameter with others, and lie in no other."""
    found: list[nn.Module] = []
    inside: set[int] = set()
    held = Counter(id(p) for part in model.modules() for p in part._parameters.values())
    for holder in model.modules():
        if not isinstance(holder, nn.ModuleList | nn.Sequential) or id(holder) in inside:
            continue
        kinds = Counter(type(part) for part in holder)
        for part in holder:
            own = type(part).__module__.partition(".")[0] != "torch" and kinds[type(part)] > 1
            counts = [held[id(p)] for p in part.parameters()]
            if own and counts and set(counts) == {1}:
                found.append(part)
                inside |= {id(m) for m in part.modules()}
    return found


def _dtensor() -> Any:
    from torch.distributed.tensor import DTensor

    return DTensor


def _local(tensor: Any) -> Tensor:
    return tensor.to_local() if isinstance(tensor, _dtensor()) else tensor


def _whole(tensor: Any) -> Tensor:
    return tensor.detach().full_tensor() if isinstance(tensor, _dtensor()) else tensor
