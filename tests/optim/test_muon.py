"""Rules that multiply matrices, against singular values in float64, and against torch's Muon."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn

import slalom
from reference import distance, trajectory
from slalom.backends import using
from slalom.backends.foreach.part import CHUNK
from slalom.ir.operations import PRODUCTS
from slalom.optim import Muon, NorMuon
from slalom.rules import RULES
from slalom.rules.functions import norm
from slalom.rules.matrices import POLAR_EXPRESS, batched, newton_schulz, orthogonal, working

SHAPES = [(6, 6), (6, 6), (9, 4), (4, 9), (6, 6), (5, 3, 2, 2), (7,), (1, 8), ()]
"""Several of one shape, tall and wide, a convolution's, a vector, a row, a number."""

JORDAN, SCHULZ = [(3.4445, -4.7750, 2.0315)], [(1.875, -1.25, 0.375)]


def flattened(x: np.ndarray) -> np.ndarray:
    return x.reshape(x.shape[0] if x.ndim else 1, -1)


def by_singular_values(start, grads, polynomials, **given):
    """Muon as its papers have it, in NumPy: polynomials of singular values, found by an SVD."""
    lr, decay, mu = (given.get(n, d) for n, d in (("lr", 0.02), ("weight_decay", 0.1), ("m", 0.95)))
    param, kept = flattened(start).copy(), 0.0
    for grad in map(flattened, grads):
        kept = mu * kept + (1 - mu) * grad
        seen = mu * kept + (1 - mu) * grad if given.get("nesterov", True) else kept
        u, s, vt = np.linalg.svd(seen, full_matrices=False)
        s = s / max(np.sqrt((s**2).sum()), 1e-7) / given.get("over", 1)
        for a, b, c in polynomials:
            s = a * s + b * s**3 + c * s**5
        rows, columns = param.shape
        scale = max(1, rows / columns) ** 0.5
        if given.get("adamw"):
            scale = 0.2 * max(rows, columns) ** 0.5
        param = (1 - lr * decay) * param - lr * scale * (u * s) @ vt
    return param.reshape(start.shape)


def trained(optimizer, params, steps=4, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype)
        optimizer.step()
    return params


def starts(dtype=torch.float64, shapes=SHAPES):
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    return [nn.Parameter(v.to(dtype)) for v in values]


def gradients(steps=4, seed=1, shapes=SHAPES):
    generator = torch.Generator().manual_seed(seed)
    return [
        [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
        for _ in range(steps)
    ]


@pytest.mark.parametrize(
    ("options", "polynomials", "given"),
    [
        ({}, JORDAN * 5, {}),
        ({"nesterov": False, "momentum": 0.5, "ns_steps": 3}, JORDAN * 3,
         {"nesterov": False, "m": 0.5}),
        ({"adjust_lr_fn": "match_rms_adamw", "weight_decay": 0.5}, JORDAN * 5,
         {"adamw": True, "weight_decay": 0.5}),
        ({"ns_coefficients": SCHULZ[0], "ns_steps": 2}, SCHULZ * 2, {}),
        ({"polar_express": True, "ns_steps": 10}, [*POLAR_EXPRESS, *POLAR_EXPRESS[-1:] * 2],
         {"over": 1.01}),
    ],
    ids=["default", "plain", "as adamw", "coefficients", "polar express"],
)  # fmt: skip
def test_it_bends_singular_values_alone(options, polynomials, given):
    params = starts()
    before = [p.detach().clone().numpy() for p in params]
    trained(Muon(params, lr=0.02, **options), params)
    for i, (param, start) in enumerate(zip(params, before, strict=True)):
        grads = [row[i].numpy() for row in gradients()]
        expected = torch.from_numpy(
            np.asarray(by_singular_values(start, grads, polynomials, **given))
        )
        assert distance(param, expected) <= (1e-7 if "polar_express" in options else 1e-12), i


def test_polar_express_makes_a_matrix_orthogonal():
    """And nearer so with every polynomial, the last ones as Newton and Schulz have them."""
    x = torch.randn(20, 50, dtype=torch.float64)
    off = []
    for n in (2, 4, 6, 8, 10):
        each = [POLAR_EXPRESS[min(k, 7)] for k in range(n)]
        made = orthogonal(x / x.norm() / 1.01, each)
        off.append((made @ made.mT - torch.eye(20)).norm().item())
    assert off == sorted(off, reverse=True)
    assert off[-1] < 1e-6


@pytest.mark.parametrize("options", [{}, {"nesterov": False}, {"adjust_lr_fn": "match_rms_adamw"}])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_it_is_no_further_from_the_reference_than_torch(dtype, options):
    """Torch multiplies in bfloat16 whatever it is given, and rounds the norm before it divides."""
    shapes = [(40, 40), (40, 40), (90, 30), (30, 90)]
    ends = []
    for made, own in ((Muon, {"ns_dtype": dtype}), (torch.optim.Muon, {})):
        params = starts(torch.float32, shapes)
        ends.append(trained(made(params, lr=0.02, **own, **options), params))
    for i, (ours, theirs, start) in enumerate(
        zip(*ends, starts(torch.float32, shapes), strict=True)
    ):
        grads = [row[i].float() for row in gradients(shapes=shapes)]
        exact = trajectory(RULES["muon"], start, grads, lr=0.02, **options)[-1]
        off = [(p.detach().double() - exact).norm().item() for p in (ours, theirs)]
        assert off[0] <= (1.1 if dtype == "bfloat16" else 3e-3) * off[1]


def test_checkpoints_go_both_ways():
    shapes = [(8, 5), (5, 8)]
    for first, second in ((Muon, torch.optim.Muon), (torch.optim.Muon, Muon)):
        params = starts(torch.float32, shapes)
        optimizer = first(params, lr=0.02, momentum=0.9)
        trained(optimizer, params)
        others = copy.deepcopy(params)
        other = second(others)
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        assert other.param_groups[0].keys() == optimizer.param_groups[0].keys()
        trained(optimizer, params, seed=2)
        trained(other, others, seed=2)
        for p, q in zip(params, others, strict=True):
            assert 0 < (p - q).abs().max() <= 3e-3  # bfloat16 of steps of 0.02


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_run_goes_on_to_the_bit(dtype):
    params = starts(torch.float32)
    optimizer = Muon(params, ns_dtype=dtype, lr=0.02)
    trained(optimizer, params)
    stream = io.BytesIO()
    torch.save(optimizer.state_dict(), stream)
    others = copy.deepcopy(params)
    other = Muon(others)
    stream.seek(0)
    other.load_state_dict(torch.load(stream))
    trained(optimizer, params, seed=2)
    trained(other, others, seed=2)
    assert all(map(torch.equal, params, others))


def test_threads_change_rounding_alone_and_by_torchs_products_alone(monkeypatch):
    """Same threads, same bits; others may change last bits, and none where products have one."""
    own = PRODUCTS["orthogonal"]

    def by_one_thread(x, *numbers):
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return own(x, *numbers)
        finally:
            torch.set_num_threads(threads)

    def trained_by(threads):
        torch.set_num_threads(threads)
        generator = torch.Generator().manual_seed(0)
        params = [
            nn.Parameter(torch.randn(s, generator=generator, dtype=torch.float64))
            for s in ((333, 501), (100, 700), (2000, 37))
        ]
        optimizer = NorMuon(params, lr=0.01)
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        optimizer.step()
        return params

    once, again, three = (trained_by(n) for n in (1, 1, 3))
    assert all(map(torch.equal, once, again))
    assert all(distance(a, b) <= 1e-14 for a, b in zip(once, three, strict=True))
    monkeypatch.setitem(PRODUCTS, "orthogonal", by_one_thread)
    assert all(map(torch.equal, once, trained_by(3)))


def test_what_stands_beside_a_matrix_changes_little():
    """One that has neighbours of its shape is multiplied in one batch with them."""
    params = starts(torch.float32)
    trained(Muon(params, lr=0.02, ns_dtype="float32"), params)
    for i, alone in enumerate(starts(torch.float32)):
        optimizer = Muon([alone], lr=0.02, ns_dtype="float32")
        for row in gradients():
            alone.grad = row[i].float()
            optimizer.step()
        assert distance(alone, params[i]) <= 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_of_any_layout_and_dtype(dtype, rounding):
    """Channels last, transposed, with gaps: the matrix is that of the shape, however it lies."""
    values = [torch.randn(4, 3, 2, 2), torch.randn(6, 5), torch.randn(6, 5), torch.randn(8)]
    lie = [
        values[0].to(memory_format=torch.channels_last), values[1].mT.contiguous().mT,
        torch.zeros(6, 10)[:, ::2].copy_(values[2]), torch.zeros(16)[::2].copy_(values[3]),
    ]  # fmt: skip
    ends = []
    for own in (values, lie):
        params = [nn.Parameter(v.clone().to(dtype)) for v in own]
        options = {"rounding": rounding} if dtype == torch.bfloat16 else {}
        optimizer = Muon(params, lr=0.02, ns_dtype="float32", **options)
        trained(optimizer, params)
        ends.append(params)
    for a, b, start in zip(*ends, values, strict=True):
        assert distance(a, b) <= (2 if rounding == "stochastic" else 1) * torch.finfo(dtype).eps
        assert distance(a, start) > 0.01


def test_another_option_may_multiply_more():
    """Then there is no room for its operands in the plan that was, and another is made."""

    @slalom.rule
    def again(param, grad, *, lr=0.1, twice=False):
        change = orthogonal(grad / norm(grad), SCHULZ)
        return param - lr * (orthogonal(change * param, SCHULZ) if twice else change)

    ends = []
    for backend in ("llvm", "foreach"):
        params = starts()
        with using(backend), torch.device("meta"):  # where nothing of ours may come to lie
            optimizer = slalom.optimizer(again)(params)
            for twice in (False, True, False):
                optimizer.param_groups[0]["twice"] = twice
                for k, param in enumerate(params):
                    param.grad = None if k == 1 else param.detach() * 2 - 1
                optimizer.step()
        ends.append(params)
    for ours, theirs in zip(*ends, strict=True):
        assert distance(ours, theirs) <= 1e-12


def test_what_has_products_and_crossings_is_served_by_torchs_operations_and_says_so():
    """Machine code has one or the other."""

    @slalom.rule
    def both(param, grad, *, lr=0.1):
        change = orthogonal(grad / norm(grad), [(1.5, -0.5, 0.0)])
        return param - lr * change / norm(change, over="optimizer")

    params = starts()
    optimizer = slalom.optimizer(both)(params)
    for param in params:
        param.grad = torch.ones_like(param)
    rows = slalom.explain(optimizer).rows
    assert {row[3] for row in rows} == {"foreach"}
    assert all("multiplies matrices" in row[4] for row in rows)
    assert {row[3] for row in slalom.explain(Muon(params)).rows} == {"llvm"}


@pytest.mark.parametrize("options", [{}, {"differentiable": True}, {"capturable": True}])
def test_complex_numbers_are_refused(options):
    """In torch's words; and nothing is left in the state."""
    param = nn.Parameter(torch.ones(2, 3, dtype=torch.complex64)).clone().detach()
    param.grad = torch.ones_like(param)
    optimizer = Muon([param], **options)
    with pytest.raises(RuntimeError, match="Muon does not support complex parameters"):
        optimizer.step()
    assert not optimizer.state[param]


def test_wrong_input_gets_one_sentence():
    params = starts()
    with pytest.raises(
        ValueError, match="Adjust learning rate function arbitrary is not supported"
    ):
        Muon(params, adjust_lr_fn="arbitrary")
    with pytest.raises(ValueError, match="Invalid ns_steps value: 100; ns_steps must be in"):
        Muon(params, ns_steps=100)
    with pytest.raises(ValueError, match=r"^ns_steps must be a whole number$"):
        Muon(params, ns_steps=2.5)
    with pytest.raises(ValueError, match="ns_dtype must be 'bfloat16' or 'float32'"):
        Muon(params, ns_dtype="float16")
    with pytest.raises(TypeError, match=r"adjust_lr_fn is 0\.5; it must be a word"):
        Muon(params, adjust_lr_fn=0.5)
    with pytest.raises(TypeError, match=r"orthogonal is of a tensor, and 0\.5 is a number"):
        orthogonal(0.5, JORDAN)

    @slalom.rule
    def of_a_number(param, grad, *, lr=0.1):
        return param - orthogonal(lr, JORDAN)

    with pytest.raises(slalom.rules.RuleError, match="asks orthogonal of a number"):
        trained(slalom.optimizer(of_a_number)(params), params)


def test_what_matrices_are_multiplied_in(monkeypatch):
    """bfloat16 where the processor has instructions for it, as torch does everywhere."""
    x = torch.ones(2, 2)
    for there, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda there=there: there)
        assert working(x, None) == dtype
    assert working(x.double(), "bfloat16") == torch.float64
    assert working(x, "float32") == torch.float32
    assert working(x.bfloat16(), "bfloat16") == torch.bfloat16


def test_coefficients_may_be_tensors():
    """Where a graph records the step they lie on the device."""
    x = torch.randn(2, 3, 5, dtype=torch.float64)
    numbers = [1.5, -0.6, 0.1] * 2
    expected = newton_schulz(x, *numbers)
    assert distance(newton_schulz(x, *map(torch.tensor, numbers)), expected) <= 1e-7


def normalised(start, grads, adjust=None, mu=0.95, beta2=0.9, lr=0.02):
    """NorMuon as its authors' code and paper have it, in NumPy, with singular values by an SVD."""
    param, kept, square = flattened(start).copy(), 0.0, 0.0
    rows, columns = param.shape
    for grad in map(flattened, grads):
        kept = mu * kept + (1 - mu) * grad
        u, s, vt = np.linalg.svd(mu * kept + (1 - mu) * grad, full_matrices=False)
        s = s / np.sqrt((s**2).sum())
        for a, b, c in JORDAN * 5:
            s = a * s + b * s**3 + c * s**5
        change = (u * s) @ vt
        square = beta2 * square + (1 - beta2) * (change**2).mean(1, keepdims=True)
        even = change / (np.sqrt(square) + 1e-10)
        length = np.sqrt((change**2).sum()) * max(1, rows / columns) ** 0.5
        if adjust:
            length = 0.2 * np.sqrt(rows * columns)
        param = param - lr * length / np.sqrt((even**2).sum()) * even
    return param.reshape(start.shape)


@pytest.mark.parametrize("adjust", [None, "match_rms_adamw"])
def test_normuon_divides_rows_by_what_they_were(adjust):
    params = starts()
    before = [p.detach().clone().numpy() for p in params]
    trained(NorMuon(params, lr=0.02, beta2=0.9, adjust_lr_fn=adjust), params)
    for i, (param, start) in enumerate(zip(params, before, strict=True)):
        expected = normalised(start, [row[i].numpy() for row in gradients()], adjust)
        assert distance(param, torch.from_numpy(np.asarray(expected))) <= 1e-9, i


@pytest.mark.parametrize("scale", ["preserve_norm", "match_rms"])
def test_normuon_is_that_of_another_library(scale):
    """To what bfloat16 leaves of it, in which that one multiplies."""
    theirs = pytest.importorskip("pytorch_optimizer").NorMuon
    shapes = [(40, 40), (90, 30), (30, 90)]
    params, others = starts(torch.float32, shapes), starts(torch.float32, shapes)
    adjust = None if scale == "preserve_norm" else "match_rms_adamw"
    trained(NorMuon(params, lr=0.02, weight_decay=0.1, adjust_lr_fn=adjust), params)
    group = {"params": others, "use_muon": True}
    trained(theirs([group], lr=0.02, weight_decay=0.1, beta2=0.95, update_scale=scale), others)
    for p, q, start in zip(params, others, starts(torch.float32, shapes), strict=True):
        assert (p - q).norm() <= 0.03 * (p - start).norm()


@slalom.rule
def evened(param, grad, *, lr=0.1):
    """Two products of one operand, whose rows have one length."""
    even = grad / norm(grad, axis=1)
    return param - lr * orthogonal(even / norm(even), JORDAN) + lr * orthogonal(even, SCHULZ)


def test_two_products_of_one_operand_divided_by_rows():
    params = starts(shapes=[(4, 6), (4, 6), (6, 4)])
    grads = gradients(1, shapes=[(4, 6), (4, 6), (6, 4)])[0]
    expected = [evened(p.detach(), g, lr=0.1) for p, g in zip(params, grads, strict=True)]
    trained(slalom.optimizer(evened)(params), params, steps=1)
    for param, end in zip(params, expected, strict=True):
        assert distance(param, end) <= 1e-12


@pytest.mark.parametrize("made", [Muon, NorMuon])
def test_no_matrix_is_taken_in_pieces(made, monkeypatch):
    """Though it is larger than what is in work at once; smaller ones go in several turns."""
    ends = []
    for chunk in (1 << 19, 40):
        monkeypatch.setitem(CHUNK, "cpu", chunk)
        params = starts()
        ends.append(trained(made(params, lr=0.02), params))
    for a, b in zip(*ends, strict=True):
        assert distance(a, b) <= 1e-12


def test_a_batch_lies_on_the_shorter_side():
    for shape in ((3, 7), (7, 3), (5, 3, 2, 2), (4,)):
        seen = []
        batched(lambda x, seen=seen: seen.append(x.shape) or x, [torch.ones(shape)] * 2, None, [])
        rows, columns = shape[0], torch.Size(shape[1:]).numel()
        assert seen == [(2, min(rows, columns), max(rows, columns))]
