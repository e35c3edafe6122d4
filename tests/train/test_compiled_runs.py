"""Machine code through whole models: the gradients of autograd, and the runs of torch's way."""

from __future__ import annotations

import copy
import re
import threading
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import slalom
from slalom.backends.refusals import Unavailable
from slalom.train import Run, Task, net
from slalom.train.compiled import CompiledRun, refusal
from slalom.train.criterion import criterion_of
from slalom.train.loop import begun
from slalom.train.net import Net
from slalom.train.row import Row as RowOf
from slalom.train.row import UnservedError
from slalom.train.tree import same

X = torch.randn(90, 6, generator=torch.Generator().manual_seed(0))
Y = (X.sum(1) > 0).long()

MODELS: dict[str, Any] = {
    "a layer": lambda: nn.Linear(6, 3),
    "relu": lambda: nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 3)),
    "deep": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(6, 17, bias=False), nn.Tanh(), nn.Identity(),
        nn.Sequential(nn.Linear(17, 33), nn.Sigmoid()), nn.Linear(33, 9), nn.Linear(9, 3),
        nn.ReLU(),
    ),
    "ends in tanh": lambda: nn.Sequential(nn.Linear(6, 3), nn.Tanh()),
    "smooth": lambda: nn.Sequential(
        nn.Linear(6, 21), nn.GELU(), nn.Linear(21, 18), nn.GELU(approximate="tanh"),
        nn.Linear(18, 7), nn.SiLU(), nn.Linear(7, 9), nn.Mish(), nn.Linear(9, 3), nn.Softsign(),
    ),
    "exponential": lambda: nn.Sequential(
        nn.Linear(6, 12), nn.ELU(0.7), nn.Linear(12, 12), nn.SELU(), nn.Linear(12, 12),
        nn.CELU(0.6), nn.Linear(12, 12), nn.Softplus(2.0, 15.0), nn.Linear(12, 3), nn.LogSigmoid(),
    ),
    "hard": lambda: nn.Sequential(
        nn.Linear(6, 12), nn.ReLU6(), nn.Linear(12, 12), nn.Hardtanh(-0.5, 0.3), nn.Linear(12, 12),
        nn.Hardswish(), nn.Linear(12, 12), nn.Hardsigmoid(), nn.Linear(12, 12), nn.LeakyReLU(0.2),
        nn.Linear(12, 3),
    ),
    "one after the other": lambda: nn.Sequential(
        nn.Tanh(), nn.Linear(6, 12), nn.ReLU(), nn.Sigmoid(), nn.Linear(12, 12), nn.Tanh(),
        nn.ReLU(), nn.Flatten(), nn.Linear(12, 12), nn.ReLU(), nn.Dropout(0.0), nn.Linear(12, 3),
    ),
}  # fmt: skip

LOSSES: dict[str, Any] = {
    "classes": (nn.CrossEntropyLoss(), Y), "function": (F.cross_entropy, Y),
    "summed": (nn.CrossEntropyLoss(reduction="sum"), Y),
    "squares": (nn.MSELoss(), torch.randn(90, 3)),
    "entropy": (nn.BCEWithLogitsLoss(), torch.rand(90, 3)),
    "huber": (nn.HuberLoss(delta=0.4), torch.randn(90, 3)),
    "smooth": (nn.SmoothL1Loss(beta=0.5), torch.randn(90, 3)),
    "absolute": (nn.L1Loss(), torch.randn(90, 3)),
    "never smooth": (nn.SmoothL1Loss(beta=0.0, reduction="sum"), torch.randn(90, 3)),
    "torch's": (nn.PoissonNLLLoss(), torch.rand(90, 3)),
    "shares": (nn.CrossEntropyLoss(), torch.rand(90, 3).softmax(1)),
    "smoothed": (nn.CrossEntropyLoss(label_smoothing=0.1), Y),
    "weighted": (nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 3.0])), Y),
    "both": (
        nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 3.0]), label_smoothing=0.2, ignore_index=2), Y,
    ),
    "weighted sum": (nn.CrossEntropyLoss(torch.tensor([0.5, 2.0, 3.0]), reduction="sum"), Y),
    "own": (lambda o, t: (o.mean(0) - t.mean(0)).square().sum(), torch.randn(90, 3)),
    "ignoring": (nn.CrossEntropyLoss(ignore_index=1), Y),
    "some unknown": (nn.CrossEntropyLoss(), torch.where(Y == 1, -100, Y)),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("kind", MODELS)
def test_gradients_are_those_of_autograd(kind: str, name: str) -> None:
    torch.manual_seed(0)
    model, (loss, targets) = MODELS[kind](), LOSSES[name]
    made = Net(model, loss)
    found = made.learn(X, targets)
    exact = copy.deepcopy(model).double()
    for p in exact.parameters():
        p.grad = None
    own = loss
    if isinstance(loss, nn.Module):
        own = copy.deepcopy(loss).double()
    wanted = own(exact(X.double()), targets.double() if targets.is_floating_point() else targets)
    wanted.backward()
    scale = 90 if getattr(loss, "reduction", "") == "sum" else 1
    assert found == pytest.approx(wanted.item(), rel=1e-5)
    for p, q in zip(model.parameters(), exact.parameters(), strict=True):
        torch.testing.assert_close(p.grad.double(), q.grad, rtol=2e-5, atol=2e-6 * scale)
    value, outputs = made.judged(X, targets)
    assert value == pytest.approx(wanted.item(), rel=1e-5)
    torch.testing.assert_close(outputs.double(), exact(X.double()).detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("loss", [nn.NLLLoss(), F.nll_loss, nn.CrossEntropyLoss(),
                                  nn.NLLLoss(torch.tensor([1.0, 2.0, 3.0]))])  # fmt: skip
def test_logarithms_of_shares_go_with_their_loss(loss: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3), nn.LogSoftmax(dim=1))
    made, exact = Net(model, loss), copy.deepcopy(model).double()
    found = made.learn(X, Y)
    own = copy.deepcopy(loss).double() if isinstance(loss, nn.Module) else loss
    wanted = own(exact(X.double()), Y)
    wanted.backward()
    assert found == pytest.approx(wanted.item(), rel=1e-5)
    for p, q in zip(model.parameters(), exact.parameters(), strict=True):
        torch.testing.assert_close(p.grad.double(), q.grad, rtol=2e-5, atol=2e-6)
    value, outputs = made.judged(X, Y)
    assert value == pytest.approx(wanted.item(), rel=1e-5)
    torch.testing.assert_close(outputs.double(), exact(X.double()).detach(), rtol=1e-5, atol=1e-5)
    assert made.learn(X, Y + 5) is None  # what torch is to complain of
    with pytest.raises(UnservedError, match="LogSoftmax, and the loss is no NLLLoss"):
        Net(model, nn.MSELoss())
    bare = Net(model[:3], nn.NLLLoss())  # of no logarithms: the loss is torch's
    found = bare.learn(X, Y)
    assert found == pytest.approx(F.nll_loss(model[:3](X), Y).item(), rel=1e-5)


def test_who_is_dropped_is_drawn_as_by_torch() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Dropout(0.1), nn.Linear(6, 20), nn.ReLU(), nn.Dropout(0.4), nn.Linear(20, 20),
        nn.Dropout(0.2), nn.GELU(), nn.Linear(20, 20), nn.Dropout(0.0), nn.Tanh(), nn.Dropout(0.3),
        nn.Linear(20, 3),
    )  # fmt: skip
    model[5].eval()  # by somebody who wants it so
    made, other = Net(model, F.cross_entropy), copy.deepcopy(model)
    torch.manual_seed(1)
    for _ in range(3):
        found = made.learn(X, Y)
    after = torch.rand(3)
    torch.manual_seed(1)
    for _ in range(3):
        other.zero_grad()
        wanted = F.cross_entropy(other(X), Y)
        wanted.backward()
    assert torch.equal(torch.rand(3), after)
    assert found == pytest.approx(wanted.item(), rel=1e-5)
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-6)
    value, outputs = made.judged(X, Y)
    torch.testing.assert_close(outputs, other.eval()(X), rtol=1e-5, atol=1e-5)
    assert value == pytest.approx(F.cross_entropy(outputs, Y).item(), rel=1e-5)
    assert made.inputs((X.T.contiguous().T,)) is None  # whose numbers torch draws in another order


def test_random_numbers_are_put_in_place_for_those_who_draw() -> None:
    """And the run has the same ones after it, whichever way it went."""
    made = {}
    for kind, model in (("drawing", dropping), ("plain", MODELS["relu"])):
        run = CompiledRun(task(model=model), ADAM, 0)
        before = run.state_dict()["noise"]
        run.advance(3)
        made[kind] = not same(before, run.state_dict()["noise"])
    assert made == {"drawing": True, "plain": False}


def test_what_is_frozen_has_no_gradient() -> None:
    model = MODELS["relu"]()
    model[0].weight.requires_grad_(False)
    made = Net(model, F.cross_entropy)
    made.learn(X, Y)
    assert [p.grad is None for p in model.parameters()] == [True, False, False, False]
    model[0].weight.requires_grad_()  # thawed on the way
    made.learn(X, Y)
    first = model[0].weight.grad.clone()
    F.cross_entropy(copy.deepcopy(model)(X), Y)
    model.zero_grad()
    F.cross_entropy(model(X), Y).backward()
    torch.testing.assert_close(first, model[0].weight.grad)


def test_parameters_that_move_in_memory_are_found_again() -> None:
    model = MODELS["relu"]()
    made = Net(model, F.cross_entropy)
    made.learn(X, Y)
    with torch.no_grad():
        model[0].weight.data = torch.zeros(20, 6)
    wanted = F.cross_entropy(model(X), Y).item()
    assert made.learn(X, Y) == pytest.approx(wanted, rel=1e-6)


class Row(nn.Sequential):
    def forward(self, x: Any) -> Any:
        return super().forward(x) * 2


def twice() -> nn.Module:
    layer = nn.Linear(6, 6)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(6, 2))


def tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    model[1].weight = model[0].weight
    return model


def patched() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 2))
    model[0].forward = lambda x: x[:, :2]  # type: ignore[method-assign]
    return model


def watched(what: str) -> Any:
    def made() -> nn.Module:
        model = nn.Sequential(nn.Linear(6, 2))
        if what == "module":
            model[0].register_forward_hook(lambda *given: None)
        elif what == "parameter":
            model[0].weight.register_hook(lambda g: g * 2)
        else:
            model[0].weight.register_post_accumulate_grad_hook(lambda p: None)
        return model

    return made


OTHERS: dict[str, Any] = {
    "1 is a BatchNorm1d": lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8)),
    "the model is a Row": lambda: Row(nn.Linear(6, 2)), "not those of linear layers": twice,
    "not those of linear layers, once": tied, "not float32": lambda: nn.Linear(6, 2).double(),
    "is a ParametrizedLinear": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(6, 2)),
    "1,025 wide": lambda: nn.Linear(6, 1025), "its parameters": nn.Sequential,
    "parameters are": nn.ReLU, "layer 0 has hooks": watched("module"),
    "0.weight has a hook": watched("parameter"), "weight has a hook": watched("accumulated"),
    "2,002,000 numbers": lambda: nn.Sequential(*[nn.Linear(1000, 1000) for _ in range(2)]),
    "takes 12 numbers, and 4 come": lambda: nn.Sequential(
        nn.Linear(8, 4), nn.Flatten(), nn.Linear(12, 2)),
    "0 is a Flatten": lambda: nn.Sequential(nn.Flatten(0), nn.Linear(6, 2)),
    "1 is a LogSoftmax": lambda: nn.Sequential(nn.Linear(6, 2), nn.LogSoftmax(0)),
    "1 is a LogSoftmax, and not": lambda: nn.Sequential(
        nn.Linear(6, 4), nn.LogSoftmax(1), nn.Linear(4, 2)),
    "1 is a LeakyReLU": lambda: nn.Sequential(nn.Linear(6, 2), nn.LeakyReLU("much")),  # type: ignore[arg-type]
    "forward of its own": patched,
}  # fmt: skip
"""Why, and of which models."""


@pytest.mark.parametrize("why", OTHERS)
def test_other_models_are_left_to_torch(why: str) -> None:
    with pytest.raises(UnservedError, match=re.escape(why)):
        RowOf(OTHERS[why]())


def test_other_losses_are_left_to_torch() -> None:
    weights = torch.ones(2)
    for loss in (
        nn.MSELoss(reduction="none"), nn.BCEWithLogitsLoss(pos_weight=weights),
        nn.CrossEntropyLoss(weights.double()), nn.BCELoss(), lambda o, t: o.sum(),
    ):  # fmt: skip
        assert criterion_of(loss) is None
    assert criterion_of(nn.MSELoss(reduction="sum")) == ("squared_error", (), True, 0, -100, False)


CHANGES: dict[str, Any] = {
    "hook": lambda m, loss: m[2].register_forward_hook(lambda module, given, found: found * 2),
    "gradient's hook": lambda m, loss: m[0].weight.register_hook(lambda g: g * 3),
    "another layer": lambda m, loss: m.__setitem__(1, nn.Sigmoid()),
    "one more": lambda m, loss: m.append(nn.Tanh()),
    "another parameter": lambda m, loss: setattr(m[2], "bias", nn.Parameter(torch.ones(2))),
    "no bias": lambda m, loss: setattr(m[2], "bias", None),
    "forward": lambda m, loss: setattr(m, "forward", lambda x: m[2](m[1](m[0](x))) - x[:, :2]),
    "class": lambda m, loss: setattr(m[2], "__class__", Louder),
    "parametrization": lambda m, loss: nn.utils.parametrizations.weight_norm(m[2]),
    "transposed": lambda m, loss: setattr(m[0].weight, "data", m[0].weight.data.t()),
    "fewer rows": lambda m, loss: (setattr(m[0].weight, "data", m[0].weight.data[:4]),
                                   setattr(m[0].bias, "data", m[0].bias.data[:4]),
                                   setattr(m[2].weight, "data", m[2].weight.data[:, :4])),
    "slope": lambda m, loss: setattr(m[1], "negative_slope", 0.9),
    "smoothing": lambda m, loss: setattr(loss, "label_smoothing", 0.3),
    "weights": lambda m, loss: loss.weight.mul_(torch.tensor([1.0, 4.0])),
    "sum": lambda m, loss: setattr(loss, "reduction", "sum"),
    "loss": lambda m, loss: setattr(loss, "forward", lambda o, t: o.square().sum()),
}  # fmt: skip
"""What a model or a loss may be made to on the way."""


class Louder(nn.Linear):
    def forward(self, input: Any) -> Any:
        return super().forward(input) * 2


@pytest.mark.parametrize("kind", CHANGES)
def test_what_is_changed_on_the_way_is_seen(kind: str) -> None:
    """Between two calls to go on, and by the code that an update runs."""
    for at_once in (False, True):
        runs = []
        for made in (Run, CompiledRun):
            given = task(
                model=lambda: nn.Sequential(nn.Linear(6, 6), nn.LeakyReLU(0.1), nn.Linear(6, 2)),
                loss=nn.CrossEntropyLoss(torch.ones(2)), metric="loss",
            )  # fmt: skip
            run: Any = made(given, partial(torch.optim.SGD, lr=0.1), 0)
            run.advance(2)
            change = partial(CHANGES[kind], run.model, run.objective.of)
            if at_once:
                run.optimizer.register_step_post_hook(
                    lambda *stepped, r=run, c=change: None if r.step != 3 else (c(), None)[1]
                )
            else:
                change()
            losses = [run.advance(4)]
            runs.append((losses, run.evaluate().valid_loss))
        assert runs[1][0] == pytest.approx(runs[0][0], rel=1e-4)
        assert runs[1][1] == pytest.approx(runs[0][1], rel=1e-4)


def test_whoever_looks_on_sees_torchs_operations() -> None:
    runs = [k(task(), partial(torch.optim.SGD, lr=0.1), 0) for k in (Run, CompiledRun)]
    for run in runs:
        run.advance(2)
    with FlopCounterMode(display=False) as counted:
        runs[1].advance(1)
    assert counted.get_total_flops() > 0
    assert runs[1].served == 2
    runs[0].advance(1)
    losses = []
    for run in runs:
        with torch.autocast("cpu", torch.bfloat16):
            losses.append(run.advance(1))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert runs[1].served == 2
    seen: list[str] = []
    handle = nn.modules.module.register_module_forward_hook(lambda m, *_: seen.append(str(m)))
    try:
        runs[1].advance(1)
    finally:
        handle.remove()
    assert len(seen) >= 4


def task(**options: Any) -> Task:
    given = {"batch_size": 16, "eval_every": 4, "target": 2.0, "name": "plane"} | options
    model = given.pop("model", lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2)))
    loss = given.pop("loss", nn.CrossEntropyLoss())
    data = given.pop("data", (X, Y))
    chunk = given.pop("chunk", None)
    made = Task(model, loss, data, data, **given)
    if chunk is not None:
        made.chunk = lambda *_: chunk  # type: ignore[method-assign]
    return made


def dropping() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 16), nn.GELU(), nn.Dropout(0.2), nn.Linear(16, 16), nn.ReLU(),
        nn.Dropout(0.5), nn.Linear(16, 2),
    )  # fmt: skip


ADAM = partial(slalom.optim.Adam, lr=0.01)


class Closed(torch.optim.SGD):
    """Asks for the loss by itself, twice."""

    def step(self, closure: Any) -> Any:  # type: ignore[override]
        closure()
        super().step()
        loss = closure()
        super().step()
        return loss


KINDS: dict[str, tuple[dict[str, Any], Any, dict[str, Any]]] = {
    "plain": ({}, ADAM, {}), "clipped": ({"clip_norm": 0.1}, ADAM, {}),
    "scheduled": ({"schedule": "cosine", "warmup": 5}, ADAM, {}),
    "averaged": ({"ema": 0.9}, ADAM, {}), "accumulated": ({"accumulate": 2}, ADAM, {}),
    "evaluated otherwise": ({}, partial(slalom.optim.ScheduleFreeAdamW, lr=0.01), {}),
    "all": ({}, partial(torch.optim.SGD, lr=0.5), {"batch_size": "all"}),
    "all in chunks": ({"chunk": 40}, partial(torch.optim.SGD, lr=0.5), {"batch_size": "all"}),
    "all summed": (
        {"chunk": 40, "loss": nn.CrossEntropyLoss(reduction="sum")},
        partial(torch.optim.SGD, lr=0.5), {"batch_size": "all"},
    ),
    "accumulated and ignored": (
        {
            "loss": nn.CrossEntropyLoss(torch.tensor([1.0, 2.0]), ignore_index=-1), "accumulate": 4,
            "data": (X, torch.where(X[:, 0] > 1, -1, Y)), "batch_size": 4,
        }, ADAM, {},
    ),
    "accumulated and summed": (
        {"accumulate": 2, "loss": nn.CrossEntropyLoss(reduction="sum")},
        partial(torch.optim.SGD, lr=1e-3), {},
    ),
    "dropped": ({"model": dropping}, ADAM, {}),
    "weighted": (
        {"loss": nn.CrossEntropyLoss(torch.tensor([1.0, 3.0]), label_smoothing=0.1)}, ADAM, {},
    ),
    "closure": ({}, partial(Closed, lr=0.1), {}),
    "loss": ({"metric": "loss"}, ADAM, {}), "error": ({"metric": "error"}, ADAM, {}),
    "other metric": ({"metric": "f1"}, ADAM, {}),
    "summed": (
        {"loss": nn.CrossEntropyLoss(reduction="sum")}, partial(torch.optim.SGD, lr=1e-3), {},
    ),
    "function": ({"metric": lambda o, t: (o.argmax(1) == t).float().mean().item()}, ADAM, {}),
    "ignored": (
        {
            "loss": nn.CrossEntropyLoss(ignore_index=-1),
            "data": (X, torch.where(X[:, 0] > 1, -1, Y)),
        }, ADAM, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_torchs_to_rounding(kind: str) -> None:
    options, make, more = KINDS[kind]
    if kind == "function":
        options = options | {"higher_is_better": True}
    own, ours = (k(task(**options), make, 3, **more) for k in (Run, CompiledRun))
    for steps in (4, 4, 9):
        a, b = own.advance(steps), ours.advance(steps)
        assert b == pytest.approx(a, rel=1e-4, abs=1e-6)
        one, other = own.evaluate(), ours.evaluate()
        assert (one.step, one.samples) == (other.step, other.samples)
        assert other.valid_loss == pytest.approx(one.valid_loss, rel=1e-4)
        assert other.metric == pytest.approx(one.metric, rel=1e-4, abs=0.012)
    for p, q in zip(own.model.parameters(), ours.model.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["plain", "averaged", "evaluated otherwise"])
def test_a_run_that_is_gone_on_with_is_the_same_to_the_bit(kind: str) -> None:
    options, make, more = KINDS[kind]
    whole = CompiledRun(task(**options), make, 3, **more)
    whole.advance(20)
    first = CompiledRun(task(**options), make, 3, **more)
    first.advance(7)
    rest = CompiledRun(task(**options), make, 3, **more)
    rest.load_state_dict(copy.deepcopy(first.state_dict()))
    rest.advance(13)
    for p, q in zip(whole.model.parameters(), rest.model.parameters(), strict=True):
        assert torch.equal(p, q)
    a, b = whole.evaluate(), rest.evaluate()
    assert (a.valid_loss, a.metric) == (b.valid_loss, b.metric)


def test_one_that_is_lost_is_lost_as_torchs() -> None:
    made = [k(task(metric="loss"), partial(torch.optim.SGD, lr=1e6), 0) for k in (Run, CompiledRun)]
    for run in made:
        run.advance(30)
    assert made[0].diverged is not None
    assert made[1].step == made[0].step
    x = X.clone()
    x[:, 0] = 3e38  # whose outputs are no numbers
    lost = [k(task(data=(x, Y)), partial(torch.optim.SGD, lr=1.0), 0) for k in (Run, CompiledRun)]
    for run in lost:
        run.advance(2)
    assert [run.step for run in lost] == [lost[0].step] * 2
    assert lost[1].diverged == lost[0].diverged


def test_a_class_that_there_is_not_is_torchs_error() -> None:
    given = task(data=(X, Y + 1), metric="loss")
    with pytest.raises(IndexError, match="out of bounds"):
        CompiledRun(given, ADAM, 0).advance(1)


def test_batches_of_another_kind_are_torchs() -> None:
    """Of more dimensions than samples and features, and not side by side in memory."""
    turned = X.T.contiguous().T
    for x, model in (
        (X.reshape(90, 2, 3), lambda: nn.Sequential(nn.Flatten(), nn.Linear(6, 2))),
        (X.reshape(90, 6, 1).expand(90, 6, 2), lambda: nn.Sequential(
            nn.Flatten(), nn.Linear(12, 2))),
        (turned, lambda: nn.Linear(6, 2)),
    ):  # fmt: skip
        given = task(data=(x, Y), model=model)
        one, two = (k(given, ADAM, 0) for k in (Run, CompiledRun))
        assert two.advance(3) == pytest.approx(one.advance(3), rel=1e-6)
        assert two.evaluate().valid_loss == pytest.approx(one.evaluate().valid_loss, rel=1e-5)
    wide = task(
        data=(X.reshape(90, 3, 2), Y), model=lambda: nn.Linear(2, 2), metric="loss",
        loss=lambda o, t: o.mean(1).square().mean() + 0 * t.sum(),
    )  # fmt: skip
    one, two = (k(wide, ADAM, 0) for k in (Run, CompiledRun))
    assert two.advance(3) == one.advance(3)


def test_threads_do_not_meet() -> None:
    def trained(seed: int) -> torch.Tensor:
        run = CompiledRun(task(), ADAM, seed)
        for _ in range(60):  # without the streams of random numbers, which are the process's
            run._update()
        return torch.cat([p.detach().flatten() for p in run.model.parameters()])

    alone = [trained(seed) for seed in range(2)]
    found: dict[int, torch.Tensor] = {}
    made = [CompiledRun(task(), ADAM, seed) for seed in range(2)]

    def train(seed: int) -> None:
        for _ in range(60):
            made[seed]._update()
        found[seed] = torch.cat([p.detach().flatten() for p in made[seed].model.parameters()])

    threads = [threading.Thread(target=train, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[seed], alone[seed]) for seed in range(2))


def test_without_machine_code_a_run_is_torchs_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Any:
        raise Unavailable("none")

    monkeypatch.setattr(net, "dense", none)
    given = task()
    assert refusal(given, 0) == "there is no machine code here: none"
    given.compiled = True
    assert begun(given, ADAM, 0).advance(5) == Run(task(), ADAM, 0).advance(5)


@pytest.mark.parametrize(
    "options", [{"precision": "bfloat16"}, {"model": lambda: nn.Linear(6, 2).double()}]
)
def test_tasks_that_are_left_to_torch(options: dict[str, Any]) -> None:
    assert refusal(task(), 0) is None
    assert refusal(task(**options), 0) is not None
