"""The backward pass without torch's Python: the same gradients, whatever the loss is."""

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from slalom.train.backward import backward


def gradients(back, make, dtype):
    torch.manual_seed(0)
    model = nn.Linear(3, 2, dtype=dtype)
    back(make(model(torch.ones(4, 3, dtype=dtype))))
    return [p.grad for p in model.parameters()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex64])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_gradients_are_torchs_the_first_time_and_later(dtype, shape):
    def loss(outputs):
        return outputs.abs().square().mean().reshape(shape)

    for _ in range(2):
        own, torchs = (gradients(b, loss, dtype) for b in (backward, torch.Tensor.backward))
        assert all(torch.equal(a, b) for a, b in zip(own, torchs, strict=True))


def test_what_a_hook_writes_is_gone_in_the_next_pass():
    weight = nn.Parameter(torch.tensor(3.0))

    def once(double):
        weight.grad = None
        loss = weight * 2
        if double:
            loss.register_hook(lambda g: g.data.mul_(5))
        backward(loss)
        return weight.grad.item()

    assert [once(False), once(True), once(False), once(False)] == [2.0, 10.0, 2.0, 2.0]


def test_a_loss_that_is_a_parameter_keeps_a_gradient_of_its_own():
    one, other = (nn.Parameter(torch.tensor(3.0)) for _ in range(2))
    for parameter in (one, other, one):
        backward(parameter)
    assert (one.grad.item(), other.grad.item()) == (2.0, 1.0)


def test_what_has_no_gradient_is_refused_in_torchs_words():
    backward(nn.Parameter(torch.tensor(1.0)))
    for wrong in (torch.tensor(1.0), torch.ones(2, requires_grad=True), torch.tensor(1)):
        with pytest.raises(RuntimeError) as told:
            backward(wrong)
        with pytest.raises(RuntimeError) as torchs:
            wrong.backward()
        assert str(told.value) == str(torchs.value)


def test_a_mode_that_watches_calls_sees_this_one():
    seen = []

    class Mode(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(func)
            return func(*args, **(kwargs or {}))

    loss = nn.Parameter(torch.tensor(1.0)) * 2
    backward(nn.Parameter(torch.tensor(1.0)))
    with Mode():
        backward(loss)
    assert torch.Tensor.backward in seen
