"""What is saved and loaded: copies where asked for, dtypes kept, states found by their names."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from slalom import optim


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, seed: int = 1) -> None:
    generator = torch.Generator().manual_seed(seed)
    named = dict(model.named_parameters())
    for _ in range(steps):
        for name in sorted(named):  # the same gradients, in whatever order the optimizer has them
            p = named[name]
            p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)
        optimizer.step()


def same(a: Any, b: Any) -> bool:
    return all(map(torch.equal, a.parameters(), b.parameters()))


def test_a_snapshot_stays_as_it_was() -> None:
    model = net()
    optimizer = optim.NAdam(model.named_parameters(), lr=torch.tensor(0.01))
    train(model, optimizer, 3)
    live, kept = optimizer.state_dict(), optimizer.state_dict(snapshot=True)
    before = copy.deepcopy(kept)
    later = copy.deepcopy(model)
    train(model, optimizer, 2)
    optimizer.param_groups[0]["lr"].fill_(7.0)
    assert str(kept) == str(before)
    assert str(live) != str(before)
    resumed = optim.NAdam(later.named_parameters())
    resumed.load_state_dict(kept)
    train(later, resumed, 2)
    assert same(model, later)
    assert str(kept) == str(before), "loading ties the checkpoint to the optimizer"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_state_keeps_its_dtype(dtype: torch.dtype) -> None:
    """torch casts a float32 moment to a bfloat16 parameter's dtype (pytorch#43706)."""
    model = net()
    optimizer = optim.Adam(model.parameters())
    train(model, optimizer, 2)
    saved = optimizer.state_dict()
    low = copy.deepcopy(model).to(dtype)
    resumed = optim.Adam(low.parameters())
    resumed.load_state_dict(saved)
    train(low, resumed, 1)
    exact = optim.Adam(model.parameters())
    exact.load_state_dict(saved)
    train(model, exact, 1)
    for p, q in zip(low.parameters(), model.parameters(), strict=True):
        assert resumed.state[p]["exp_avg"].dtype == torch.float32
        torch.testing.assert_close(
            resumed.state[p]["exp_avg"], exact.state[q]["exp_avg"], rtol=1e-2, atol=1e-2
        )


def shuffled(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return list(reversed(list(model.named_parameters())))


def test_states_are_found_by_name_whatever_the_order() -> None:
    whole = net()
    optimizer = optim.Adam(whole.named_parameters(), lr=0.02)
    train(whole, optimizer, 3)
    later = copy.deepcopy(whole)
    resumed = optim.Adam(shuffled(later))
    resumed.load_state_dict(optimizer.state_dict())
    assert resumed.param_groups[0]["lr"] == 0.02
    train(whole, optimizer, 3, seed=2)
    train(later, resumed, 3, seed=2)
    assert same(whole, later)


def test_groups_take_the_options_of_their_parameters() -> None:
    model = net()
    named = list(model.named_parameters())
    optimizer = optim.Adam([{"params": named[:1], "lr": 0.1}, {"params": named[1:], "lr": 0.2}])
    train(model, optimizer, 1)
    saved = optimizer.state_dict()
    turned = optim.Adam([{"params": named[1:]}, {"params": named[:1]}])
    turned.load_state_dict(saved)
    assert [g["lr"] for g in turned.param_groups] == [0.2, 0.1]
    with pytest.raises(ValueError, match="one group here and several in the checkpoint"):
        optim.Adam(named).load_state_dict(saved)


def test_names_that_do_not_fit_are_listed() -> None:
    model = net()
    optimizer = optim.Adam(model.named_parameters())
    train(model, optimizer, 2)
    saved = optimizer.state_dict()
    other = [("0.weight", model[0].weight), ("head.bias", model[2].bias)]  # type: ignore[index]
    resumed = optim.Adam(other, lr=0.5)
    with pytest.raises(
        ValueError, match=r"missing: head\.bias; unexpected: 0\.bias, 2\.weight, 2\.bias"
    ):
        resumed.load_state_dict(saved)
    assert (len(resumed.state), resumed.param_groups[0]["lr"]) == (0, 0.5)
    resumed.load_state_dict(saved, strict=False)
    held = resumed.state[other[0][1]]["exp_avg"]
    assert torch.equal(held, optimizer.state[other[0][1]]["exp_avg"])
    assert len(resumed.state) == 1


def test_without_strict_the_unknown_keep_what_they_have() -> None:
    model = net()
    named = list(model.named_parameters())
    part = optim.Adam(named[:2])
    train(model, part, 2)
    whole = optim.Adam(named)
    train(model, whole, 1)
    kept = whole.state[named[2][1]]["exp_avg"].clone()
    whole.load_state_dict(part.state_dict(), strict=False)
    assert torch.equal(whole.state[named[2][1]]["exp_avg"], kept)
    assert [float(whole.state[p]["step"]) for _, p in named] == [2, 2, 1, 1]


def test_names_on_one_side_only_match_by_order() -> None:
    whole = net()
    optimizer = optim.Adam(whole.named_parameters())
    train(whole, optimizer, 2)
    later = copy.deepcopy(whole)
    resumed = optim.Adam(later.parameters())
    resumed.load_state_dict(optimizer.state_dict())
    train(whole, optimizer, 2, seed=2)
    train(later, resumed, 2, seed=2)
    assert same(whole, later)


def test_torch_checkpoints_of_other_names_are_matched_by_order_when_asked() -> None:
    whole = net()
    theirs = torch.optim.Adam([(f"module.{n}", p) for n, p in whole.named_parameters()])
    train(whole, theirs, 2)
    later = copy.deepcopy(whole)
    ours = optim.Adam(later.named_parameters())
    saved = theirs.state_dict()
    with pytest.raises(ValueError, match="to match by order, delete param_names"):
        ours.load_state_dict(saved)
    del saved["param_groups"][0]["param_names"]
    ours.load_state_dict(saved)
    train(whole, theirs, 2, seed=2)
    train(later, ours, 2, seed=2)
    for p, q in zip(whole.parameters(), later.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


def test_groups_of_other_sizes_are_refused_and_nothing_changes() -> None:
    model = net()
    optimizer = optim.Adam(model.parameters())
    train(model, optimizer, 1)
    before = optimizer.state_dict(snapshot=True)
    fewer = optim.Adam(list(model.parameters())[:2]).state_dict()
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        optimizer.load_state_dict(fewer)
    fewer["param_groups"] *= 2
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optimizer.load_state_dict(fewer)
    assert str(optimizer.state_dict(snapshot=True)) == str(before)
