"""What a launch sees of tensors that changed since the last step."""

from __future__ import annotations

import pytest
import torch
from torch.nn import Parameter

from slalom.backends import general

CHANGES = {
    "shape": lambda t: t.view(4, 3),
    "strides": lambda t: torch.as_strided(t, (3, 4), (1, 3)),
    "dtype": lambda t: t.double(),
    "device": lambda t: t.to("meta"),
    "type": Parameter,
    "layout": lambda t: t.to_sparse(),
    "sign": lambda t: torch._neg_view(t),
    "storage": lambda t: torch._efficientzerotensor((3, 4)),
}


@pytest.mark.parametrize("what", CHANGES)
def test_the_quick_look_sees_every_change(what):
    tensors = [torch.ones(3, 4) for _ in range(3)]
    alike = general._alike(tensors)
    assert alike(*tensors)
    assert alike(*(t.clone() for t in tensors))
    tensors[1] = CHANGES[what](tensors[1])
    assert not alike(*tensors)


def test_a_torch_without_the_quick_look_is_served_too(monkeypatch):
    import slalom
    from slalom.backends import using

    def steps():
        torch.manual_seed(0)
        params = [Parameter(torch.randn(3, 4)) for _ in range(2)]
        optimizer = slalom.optim.Adam(params, lr=0.1)
        with using("foreach"):
            for number in range(4):
                for param in params[: 1 + number % 2]:
                    param.grad = torch.randn(3, 4)
                optimizer.step()
        return torch.stack([p.detach() for p in params])

    expected = steps()
    monkeypatch.setattr(general, "_alike", lambda tensors: lambda *_: False)
    assert torch.equal(steps(), expected)
