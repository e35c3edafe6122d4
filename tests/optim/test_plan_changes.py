"""Whatever happens between two steps, the next one is torch's."""

from __future__ import annotations

import collections
import copy

import pytest
import torch

import slalom
from reference import distance


def model() -> torch.nn.Module:
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten(),
        torch.nn.Linear(4 * 36, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3),
    ).double()  # fmt: skip


def params_of(optimizer):
    return [p for group in optimizer.param_groups for p in group["params"]]


def new_memory(net, optimizer):
    for p in net.parameters():
        p.data = p.data.clone()


def channels_last(net, optimizer):
    net.to(memory_format=torch.channels_last)


def channels_last_and_back(net, optimizer):
    net.to(memory_format=torch.channels_last)
    yield
    net.to(memory_format=torch.contiguous_format)


def transposed_parameter(net, optimizer):
    p = net[3].weight
    p.grad = None
    p.data = p.data.t().contiguous().t()


def no_gradient_for_some(net, optimizer):
    net[3].weight.grad = None
    net[3].bias.grad = None


def gradients_come_and_go(net, optimizer):
    for place in (0, 3, 5):
        net[place].weight.grad = None
        yield


def transposed_gradient(net, optimizer):
    p = net[3].weight
    p.grad = p.grad.t().contiguous().t()


def strided_gradient(net, optimizer):
    p = net[3].weight
    wide = torch.zeros(*p.shape, 2, dtype=p.dtype)
    wide[..., 0] = p.grad
    p.grad = wide[..., 0]


def expanded_gradient(net, optimizer):
    p = net[5].bias
    p.grad = p.grad.mean().expand_as(p)


def negated_view_gradient(net, optimizer):
    p = net[5].weight
    p.grad = torch._neg_view(p.grad)


def step_counter_reset_in_place(net, optimizer):
    for state in optimizer.state.values():
        if "step" in state:
            state["step"].zero_()


def step_counter_replaced(net, optimizer):
    for state in optimizer.state.values():
        if "step" in state:
            state["step"] = torch.tensor(7.0)


def state_replaced(net, optimizer):
    for state in optimizer.state.values():
        for name, value in state.items():
            if name != "step":
                state[name] = value.clone() * 0.5


def state_data_replaced(net, optimizer):
    for state in optimizer.state.values():
        for name, value in state.items():
            if name != "step":
                value.data = value.data.clone() * 0.5


def state_cleared(net, optimizer):
    optimizer.state.clear()


def state_forgotten(net, optimizer):
    optimizer.state = collections.defaultdict(dict)


def state_of_one_forgotten(net, optimizer):
    optimizer.state.pop(net[3].weight, None)


def state_laid_out_differently(net, optimizer):
    state = optimizer.state[net[0].weight]
    for name, value in state.items():
        if name != "step":
            state[name] = value.contiguous(memory_format=torch.channels_last)


def learning_rate(net, optimizer):
    optimizer.param_groups[0]["lr"] *= 0.5


def learning_rate_tensor(net, optimizer):
    optimizer.param_groups[0]["lr"] = torch.tensor(0.02, dtype=torch.float64)
    yield
    optimizer.param_groups[0]["lr"].mul_(0.5)


def weight_decay_switched_on(net, optimizer):
    optimizer.param_groups[0]["weight_decay"] = 0.1


def maximize_switched_on(net, optimizer):
    optimizer.param_groups[0]["maximize"] = True


def group_added(net, optimizer):
    extra = torch.nn.Parameter(torch.ones(4, dtype=torch.float64))
    net.register_parameter("extra", extra)
    optimizer.add_param_group({"params": [extra], "lr": 0.5})


def parameter_taken_out(net, optimizer):
    del optimizer.param_groups[0]["params"][1]


def parameters_put_in_order(net, optimizer):
    optimizer.param_groups[0]["params"].reverse()


def reloaded(net, optimizer):
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


def swapped(net, optimizer):
    for p in net.parameters():
        p.grad = None
        torch.utils.swap_tensors(p, torch.nn.Parameter(p.detach().clone() * 1.5))


def in_inference_mode(net, optimizer):
    with torch.inference_mode():
        optimizer.step()


def hooked(net, optimizer):
    def halve(optimizer, args, kwargs):
        for p in params_of(optimizer):
            if p.grad is not None:
                p.grad.mul_(0.5)

    optimizer.register_step_pre_hook(halve)


def threads(net, optimizer):
    torch.set_num_threads(1 if torch.get_num_threads() == 2 else 2)


CHANGES = [
    new_memory, channels_last, channels_last_and_back, transposed_parameter, no_gradient_for_some,
    gradients_come_and_go, transposed_gradient, strided_gradient, expanded_gradient,
    negated_view_gradient, step_counter_reset_in_place, step_counter_replaced, state_replaced,
    state_data_replaced, state_cleared, state_forgotten, state_of_one_forgotten,
    state_laid_out_differently, learning_rate, learning_rate_tensor, weight_decay_switched_on,
    maximize_switched_on, group_added, parameter_taken_out, parameters_put_in_order, reloaded,
    swapped, in_inference_mode, hooked, threads,
]  # fmt: skip
RULES = [
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3}), ("Adagrad", {"lr_decay": 0.1}),
    ("RMSprop", {"momentum": 0.5}), ("Adam", {"amsgrad": True}), ("AdamW", {"lr": 0.02}),
]  # fmt: skip


def play(library, name, options, change) -> list[torch.Tensor]:
    """Train, let the change happen (it may yield to let a step pass), train on."""
    net = model()
    optimizer = getattr(library, name)(net.parameters(), **options)
    data = torch.randn(5, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(5))

    def backward():
        optimizer.zero_grad()
        loss = net(data).square().mean()
        extra = getattr(net, "extra", None)
        (loss if extra is None else loss + extra.square().sum()).backward()

    for _ in range(3):
        backward()
        optimizer.step()
    backward()
    stages = change(net, optimizer)
    for _ in stages if stages is not None else ():
        optimizer.step()
        backward()
    for _ in range(3):
        optimizer.step()
        backward()
    return [p.detach() for p in net.parameters()]


@pytest.mark.parametrize(("name", "options"), RULES, ids=[r[0] for r in RULES])
@pytest.mark.parametrize("change", CHANGES, ids=lambda c: c.__name__)
def test_as_in_torch(change, name, options):
    try:
        expected = play(torch.optim, name, {**options, "foreach": False}, change)
    except KeyError:
        assert name == "Adagrad"
        assert torch.__version__ < "2.13"
        pytest.skip("this torch makes Adagrad's states when it is constructed, and never again")
    got = play(slalom.optim, name, options, change)
    assert len(got) == len(expected)
    assert max(map(distance, got, expected)) <= 1e-12


def test_a_plan_serves_until_something_changes():
    net = model()
    optimizer = slalom.optim.Adam(net.parameters())
    plans = set()
    for _ in range(4):
        optimizer.zero_grad()
        net(torch.ones(1, 2, 6, 6, dtype=torch.float64)).sum().backward()
        optimizer.step()
        plans.add(id(optimizer._plan))
    assert len(plans) == 1


def test_autograd_sees_the_update():
    """As in torch: a backward pass through a graph that the step made stale is an error."""
    for library in (torch.optim, slalom.optim):
        p = torch.nn.Parameter(torch.ones(3))
        optimizer = library.SGD([p], lr=0.1)
        loss = (p * p).sum()
        loss.backward(retain_graph=True)
        optimizer.step()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


def test_two_parameters_in_one_memory():
    for library in (torch.optim, slalom.optim):
        base = torch.arange(6.0)
        a, b = (torch.nn.Parameter(base[:4]), torch.nn.Parameter(base[2:]))
        optimizer = library.SGD([a, b], lr=1.0, momentum=0.9)
        for _ in range(2):
            a.grad, b.grad = torch.ones(4), torch.full((4,), 10.0)
            optimizer.step()
        if library is torch.optim:
            expected = base.clone()
        else:
            assert torch.equal(base, expected)


def test_the_explanation_of_two_parameters_in_one_memory():
    base = torch.zeros(6)
    optimizer = slalom.optim.SGD([torch.nn.Parameter(base[:4]), torch.nn.Parameter(base[2:])])
    for p in params_of(optimizer):
        p.grad = torch.ones(4)
    optimizer.step()
    assert all("overlaps" in row[4] for row in slalom.explain(optimizer).rows)


def test_dtypes_and_layouts_that_machine_code_does_not_know():
    gap = torch.zeros(4, 6, dtype=torch.float32)
    cases = {
        "bfloat16": torch.nn.Parameter(torch.randn(5, dtype=torch.bfloat16)),
        "complex64": torch.nn.Parameter(torch.randn(5, dtype=torch.complex64)),
        "gaps": torch.nn.Parameter(gap[:, ::2]),
        "plain": torch.nn.Parameter(torch.randn(5)),
    }
    twins = {n: torch.nn.Parameter(p.detach().clone()) for n, p in cases.items()}
    mine = slalom.optim.Adam(list(cases.items()), lr=0.1)
    other = torch.optim.Adam(twins.values(), lr=0.1)
    for _ in range(5):
        for p, q in zip(cases.values(), twins.values(), strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        mine.step()
        other.step()
    for name, p in cases.items():
        tolerance = 0.02 if name == "bfloat16" else 1e-5
        torch.testing.assert_close(p, twins[name], rtol=tolerance, atol=tolerance)
    served = {row[0]: row[3] for row in slalom.explain(mine).rows}
    assert served == {"bfloat16": "llvm", "complex64": "llvm", "gaps": "foreach", "plain": "llvm"}


def test_two_optimizers_and_two_threads():
    import threading

    def train(out, i):
        torch.manual_seed(i)
        p = torch.nn.Parameter(torch.zeros(300_000))
        optimizer = slalom.optim.Adam([p], lr=0.01)
        g = torch.randn(300_000, generator=torch.Generator().manual_seed(i))
        for _ in range(20):
            p.grad = g.clone()
            optimizer.step()
        out[i] = p.detach()

    torch.set_num_threads(2)
    alone, together = {}, {}
    for i in range(3):
        train(alone, i)
    workers = [threading.Thread(target=train, args=(together, i)) for i in range(3)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert all(torch.equal(alone[i], together[i]) for i in range(3))


def test_after_a_swap_the_optimizer_moves_its_own_parameter():
    """Its Python object holds another tensor now, and the one it held before lives on elsewhere."""
    p, q = torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.ones(3))
    optimizer = slalom.optim.SGD([p], lr=1.0)
    p.grad = torch.full((3,), 0.5)
    optimizer.step()
    p.grad = None
    torch.utils.swap_tensors(p, q)
    p.grad, q.grad = torch.full((3,), 0.25), torch.full((3,), 9.0)
    optimizer.step()
    assert p.tolist() == [0.75] * 3
    assert q.tolist() == [-0.5] * 3


def test_a_parameter_that_becomes_double_is_read_as_such():
    p = torch.nn.Parameter(torch.ones(5))
    optimizer = slalom.optim.SGD([p], lr=0.5)
    p.grad = torch.ones(5)
    optimizer.step()
    p.data = p.data.double()
    p.grad = torch.full((5,), 1 / 3, dtype=torch.float64)
    optimizer.step()
    torch.testing.assert_close(p.detach(), torch.full((5,), 0.5 - 1 / 6, dtype=torch.float64))


def test_a_state_whose_elements_become_double_is_read_as_such():
    p = torch.nn.Parameter(torch.ones(5))
    optimizer = slalom.optim.Momentum([p], lr=0.5, momentum=0.5)
    p.grad = torch.ones(5)
    optimizer.step()
    velocity = optimizer.state[p]["velocity"]
    velocity.data = velocity.data.double()
    optimizer.step()
    torch.testing.assert_close(velocity, torch.full((5,), -0.75, dtype=torch.float64))
    torch.testing.assert_close(p.detach(), torch.full((5,), -0.25))
