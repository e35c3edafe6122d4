"""States of eight bits, and parameters in bfloat16 with what they lack of float32."""

from __future__ import annotations

import copy
import io
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.nn import Parameter

import slalom
from slalom.backends import using
from slalom.backends.narrow import BLOCK, CODES, TINY, decode, encode, joined, parted
from slalom.engine import keeping
from slalom.ir.known import programs
from slalom.rules import RULES

STEPS = {torch.int8: 32, torch.uint8: 16}  # in a doubling
TOP = {torch.int8: 127, torch.uint8: 255}
CLASSES = {name: slalom.optimizer(rule) for name, rule in RULES.items()}
WIDE = {"state_dtype": "8bit"}

pytestmark = pytest.mark.filterwarnings("ignore:.*runs without machine code")


@pytest.fixture
def all_coded(monkeypatch):
    monkeypatch.setattr(keeping, "LEAST", 1)


def table(dtype: torch.dtype) -> np.ndarray:
    """What the codes from 0 up stand for, as a part of the scale, in float64."""
    steps = STEPS[dtype]
    base = 2.0 if dtype == torch.int8 else 2.0 - 1 / 32
    doublings, rest = np.divmod(np.arange(TOP[dtype] + 1), steps)
    return 2.0 * 2.0**doublings * (1 + rest / steps) - base


@pytest.mark.parametrize("dtype", CODES)
def test_codes_stand_for_the_numbers_of_the_table(dtype):
    scales = torch.tensor([0.37] * 4)
    codes = torch.arange(256, dtype=torch.uint8).view(dtype)
    found = decode(codes, scales).double().numpy() / float(scales[0])
    expected = table(dtype)
    expected = np.concatenate([expected, -expected]) if dtype == torch.int8 else expected
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def place(codes: torch.Tensor) -> torch.Tensor:
    """Where codes stand among all numbers in their order."""
    found = codes.int()
    return torch.where(found < 0, -(found & 127), found)


@settings(max_examples=150)
@given(
    values=hnp.arrays(
        np.float32, st.integers(0, 150),
        elements=st.floats(width=32) | st.floats(-1, 1, width=32) | st.just(0.0),
    ),
    dtype=st.sampled_from(list(CODES)),
)  # fmt: skip
def test_what_comes_back_is_within_half_a_step(values, dtype):
    exact = torch.from_numpy(values)
    exact = exact if dtype == torch.int8 else exact.abs()
    codes, scales = torch.empty(len(values), dtype=dtype), torch.empty(-(-len(values) // BLOCK))
    encode(exact, codes, scales)
    found = decode(codes, scales)
    for i in range(len(scales)):
        own, back = (t[i * BLOCK : (i + 1) * BLOCK].double() for t in (exact, found))
        if not own.isfinite().all():
            assert not back.isfinite().any()
            continue
        largest = max(own.abs().max().item(), TINY)
        unit = largest / table(dtype)[-1]
        assert (back - own).abs().le((own.abs() + 2 * unit) / (2 * STEPS[dtype]) * 1.0001).all()
        assert back.abs().max() <= largest * 1.000001
        if dtype == torch.uint8:
            assert (back > 0).all()  # something may be divided by its root
        else:
            assert (back[own == 0] == 0).all()


@pytest.mark.parametrize("dtype", CODES)
def test_by_chance_the_mean_is_the_exact_value(dtype, all_coded):
    n, momentum = 128_000, 0.9
    state = "momentum_buffer" if dtype == torch.int8 else "square_avg"
    grad = torch.full((n,), 0.0317)
    grad[::BLOCK] = 1.0  # the largest of each block
    p = Parameter(torch.zeros(n))
    p.grad = grad
    how = {"rounding": "stochastic", **WIDE}
    optimizer = (
        slalom.optim.SGD([p], lr=1.0, momentum=momentum, **how)
        if dtype == torch.int8
        else slalom.optim.RMSprop([p], alpha=0.5, **how)
    )
    optimizer.step()
    kept = optimizer.state[p]
    assert kept[state].dtype == dtype
    found = decode(kept[state], kept[f"{state}_scale"])[grad < 1].double()
    exact = 0.0317 if dtype == torch.int8 else 0.5 * 0.0317**2
    low, high = found.min().item(), found.max().item()
    assert len(found.unique()) == 2
    assert low < exact < high
    deviation = ((exact - low) * (high - exact) / len(found)) ** 0.5
    assert abs(found.mean().item() - exact) < 5 * deviation


def trained(
    cls,
    backend,
    *,
    n: Any = 5,
    dtype: Any = torch.float32,
    shapes=((70, 9), (3,), (64,)),
    **options,
):
    """Parameters and optimizer after some steps from the same start, and which backend served."""
    generator = torch.Generator().manual_seed(1)
    params = [Parameter(torch.randn(s, generator=generator).to(dtype)) for s in shapes]
    with using(backend):
        optimizer = cls(params, **options)
        for _ in range(n):
            for p in params:
                p.grad = torch.randn(p.shape, generator=generator).to(torch.bfloat16).to(dtype)
            optimizer.step()
        served = {row[3] for row in slalom.explain(optimizer).rows}
    return params, optimizer, served


@pytest.mark.parametrize("name", RULES)
def test_every_rule_steps_with_codes_alike_both_ways(name, all_coded, torchs_products):
    rule = RULES[name]
    options = {"lr": 1e-3} if "lr" in rule.hypers else {}
    options |= {"momentum": 0.9} if name in ("sgd", "lars") else {}
    exact, _, _ = trained(CLASSES[name], "foreach", **options)
    first = "foreach" if any(p.by_rows for p in programs(rule)) else "llvm"
    both = [trained(CLASSES[name], way, **options, **WIDE) for way in (first, "foreach")]
    assert [served for *_, served in both] == [{first}, {"foreach"}]
    kept = both[0][1].state
    coded = [n for s in kept.values() for n, v in s.items() if v.dtype in CODES]
    weights = {"asgd": "ax", "lookahead_adamw": "slow", "schedule_free_sgd": "z",
               "schedule_free_adamw": "z"}.get(name)  # fmt: skip
    whole = [n for n in rule.state if n not in rule.shapes and n != weights]
    assert bool(coded) == any(n in s for s in kept.values() for n in whole)
    assert weights not in coded
    for a, b, true in zip(both[0][0], both[1][0], exact, strict=True):
        assert a.isfinite().all()
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(a, true, rtol=0.05, atol=0.01)
        for state, value in kept[a].items():
            other = both[1][1].state[b][state]
            if value.dtype in CODES:
                assert (place(value) - place(other)).abs().float().mean() < 0.01


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
@pytest.mark.parametrize(
    ("name", "shape"),
    [("adam_mini", (70, 192)), ("adam_mini", (5, 2, 64)), ("adam_mini", (301,)),
     ("normuon", (70, 192))],
)  # fmt: skip
def test_machine_code_goes_along_rows_of_whole_blocks(name, shape, rounding, all_coded):
    found = []
    for way, threads in (("llvm", 1), ("llvm", 2), ("foreach", 1)):
        torch.set_num_threads(threads)
        params, optimizer, served = trained(
            CLASSES[name], way, n=2, shapes=(shape,), lr=1e-3, rounding=rounding, **WIDE
        )
        assert served == {way}
        state = optimizer.state[params[0]]
        (coded,) = (v for v in state.values() if v.dtype == torch.int8)
        found.append((params[0].detach(), coded, state))
    if name == "adam_mini":  # torch may divide the products of the other one among its threads
        assert all(map(torch.equal, found[0][2].values(), found[1][2].values()))
        assert torch.equal(found[0][0], found[1][0])
    (one, codes, _), (other, others, _) = found[0], found[2]
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    apart = (place(codes) - place(others)).abs()
    assert apart.max() <= 1
    assert apart.float().mean() < 1e-3


def test_an_infinite_number_makes_its_block_of_codes_nan_both_ways(all_coded):
    for way in ("llvm", "foreach"):
        p = Parameter(torch.ones(3 * BLOCK + 5))
        with using(way):
            optimizer = slalom.optim.Adam([p], **WIDE)
            for _ in range(3):
                p.grad = torch.ones_like(p)
                p.grad[BLOCK + 3] = 1e30  # whose square is infinite
                optimizer.step()
        lost = torch.zeros_like(p, dtype=torch.bool)
        lost[BLOCK : 2 * BLOCK] = True
        assert torch.equal(p.isnan(), lost)


@pytest.mark.parametrize("name", [n for n, r in RULES.items() if not r.squares])
def test_tensors_of_one_number_and_of_none_are_rounded_by_chance(name, all_coded):
    options = {"lr": 1e-3} if "lr" in RULES[name].hypers else {}
    for form in (WIDE, {"dtype": torch.bfloat16}):
        params, _, _ = trained(
            CLASSES[name], "foreach", n=2, shapes=((), (0,), (2, 0), (1, 1)),
            rounding="stochastic", **options, **form,
        )  # fmt: skip
        assert all(p.isfinite().all() for p in params)


def test_first_and_second_moments_are_told_apart(all_coded):
    for name, positive in {
        "adam": {"exp_avg_sq", "max_exp_avg_sq"}, "rmsprop": {"square_avg"}, "lion": set(),
        "adamax": {"exp_inf"}, "adagrad": {"sum"}, "adan": {"exp_avg_sq"},
    }.items():  # fmt: skip
        options = {"amsgrad": True} if name == "adam" else {}
        options |= {"centered": True, "momentum": 0.9} if name == "rmsprop" else {}
        _, optimizer, _ = trained(CLASSES[name], "llvm", n=1, **options, **WIDE)
        state = next(iter(optimizer.state.values()))
        assert {n for n, v in state.items() if v.dtype == torch.uint8} == positive
        signed = {n for n, v in state.items() if v.dtype == torch.int8}
        assert signed == set(RULES[name].state) & state.keys() - positive


@pytest.mark.parametrize(
    ("name", "rounding"), [("Adam", "nearest"), ("Adam", "stochastic"), ("LAMB", "nearest")]
)
def test_threads_change_no_code_and_ways_few(name, rounding, all_coded):
    found = []
    for way, threads in (("llvm", 1), ("llvm", 2), ("llvm", 3), ("foreach", 1)):
        torch.set_num_threads(threads)
        _, optimizer, _ = trained(
            getattr(slalom.optim, name), way, n=2, shapes=((150_001,), (77,), (66_000,)),
            rounding=rounding, **WIDE,
        )  # fmt: skip
        found.append([v for s in optimizer.state.values() for v in s.values()])
    for other in found[1:3]:
        assert all(map(torch.equal, found[0], other))
    for one, other in zip(found[0], found[3], strict=True):
        if one.dtype in CODES:  # the two ways round a mean otherwise
            apart = (place(one) - place(other)).abs()
            assert apart.max() <= 1
            assert apart.float().mean() < 1e-3


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_codes_of_parameters_of_any_dtype(dtype, all_coded):
    one, other = (
        trained(slalom.optim.AdamW, way, dtype=dtype, **WIDE) for way in ("llvm", "foreach")
    )
    assert one[2] == {"llvm"}
    for a, b in zip(one[0], other[0], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-3)
        for name, value in one[1].state[a].items():
            both = (v if v.is_floating_point() else place(v) for v in
                    (value, other[1].state[b][name]))  # fmt: skip
            first, second = (v.double() for v in both)
            assert (first - second).abs().max() <= 1


def test_codes_lie_as_the_parameter_does(all_coded):
    """Turned, and then moved to another layout: each code keeps its scale."""
    base = torch.randn(40, 30)
    grads = [torch.randn(40, 30) for _ in range(4)]
    found = []
    for turned in (False, True):
        p = Parameter(base.t().contiguous().t() if turned else base.clone())
        optimizer = slalom.optim.SGD([p], lr=0.1, momentum=0.9, **WIDE)
        for i, grad in enumerate(grads):
            if i == 2 and turned:
                p.data = p.data.contiguous()
            p.grad = grad.clone()
            optimizer.step()
        found.append(p.detach())
        assert optimizer.state[p]["momentum_buffer"].stride() == p.stride()
    torch.testing.assert_close(*found, rtol=0.02, atol=0.02)


def test_small_parameters_keep_their_states():
    _, optimizer, _ = trained(slalom.optim.Adam, "llvm", shapes=((65535,), (65536,)), n=1, **WIDE)
    dtypes = [s["exp_avg"].dtype for s in optimizer.state.values()]
    assert dtypes == [torch.float32, torch.int8]


@pytest.mark.parametrize("way", ["llvm", "foreach"])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "lion", "rprop", "lamb", "muon"])
def test_a_bfloat16_with_its_remainder_is_float32(name, way):
    """To the bit: in every step the two halves are the parameter of a training in float32."""
    if name == "muon" and way == "llvm":
        pytest.skip("machine code multiplies no matrices")
    options = {"momentum": 0.9} if name == "sgd" else {}
    shapes = ((70, 9), (3, 5), (64, 2))
    narrow, optimizer, _ = trained(
        CLASSES[name], way, dtype=torch.bfloat16, shapes=shapes, remainder="exact",
        state_dtype="float32", **options,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(1)
    wide = [Parameter(torch.randn(s, generator=generator).bfloat16().float()) for s in shapes]
    with using(way):
        twin = CLASSES[name](wide, **options)
        for _ in range(5):
            for p in wide:
                p.grad = torch.randn(p.shape, generator=generator).bfloat16().float()
            twin.step()
    for p, exact in zip(narrow, wide, strict=True):
        assert torch.equal(joined(p.detach(), optimizer.state[p]["param_remainder"]), exact)
        assert (p.float() - exact).abs().le((exact.bfloat16().float() - exact).abs()).all()


NANS = np.array([0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF, 0xFF808000], np.uint32).view(np.float32)


@settings(max_examples=100)
@example(NANS)  # their upper halves alone are infinite, or a zero
@given(hnp.arrays(np.float32, st.integers(0, 40), elements=st.floats(width=32)))
def test_halves_hold_every_float32(values):
    exact = torch.from_numpy(values)
    high = torch.empty(len(values), dtype=torch.bfloat16)
    low = torch.empty(len(values), dtype=torch.int16)
    parted(exact, high, low)
    assert (
        torch.equal(joined(high, low).nan_to_num(7.0), exact.nan_to_num(7.0)) or exact.isinf().any()
    )
    assert torch.equal(joined(high, low).isnan(), exact.isnan())
    assert torch.equal(high.isnan(), exact.isnan())
    back, inf = joined(high, low), exact.isinf()
    assert torch.equal(back[inf], exact[inf])


@pytest.mark.parametrize("way", ["llvm", "foreach"])
@pytest.mark.parametrize("kind", ["exact", "kahan"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_small_updates_are_not_lost(kind, dtype, way):
    if (kind, dtype) == ("exact", torch.float16):
        pytest.skip("has another exponent")
    p = Parameter(torch.ones(200, dtype=dtype))
    with using(way):
        optimizer = slalom.optim.SGD([p], lr=1e-4, remainder=kind)
        for _ in range(1000):
            p.grad = torch.ones_like(p)
            optimizer.step()
    assert p.double().mean().item() == pytest.approx(0.9, abs=0.003)
    p.grad = torch.full_like(p, math.inf)
    optimizer.step()
    p.grad = torch.full_like(p, -math.inf)
    optimizer.step()
    assert p.isnan().all()


FORMS = [
    {}, WIDE, {"state_dtype": {"exp_avg": torch.bfloat16, "exp_avg_sq": "8bit"}},
    {"remainder": "exact", "state_dtype": "float32"},
    {"remainder": "kahan", "rounding": "stochastic", **WIDE},
    {"remainder": "exact", "rounding": "stochastic", **WIDE},
]  # fmt: skip


def model(seed=0) -> Any:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(9, 70), torch.nn.Linear(70, 3)).bfloat16()


def step(net, optimizer, seed):
    generator = torch.Generator().manual_seed(seed)
    for p in net.parameters():
        p.grad = torch.randn(p.shape, generator=generator).bfloat16()
    optimizer.step()


def saved_and_loaded(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("by", ["state_dict", "deepcopy", "pickle"])
def test_resuming_is_to_the_bit(form, by, all_coded):
    net = model()
    optimizer = slalom.optim.AdamW(net.parameters(), **form)
    for i in range(3):
        step(net, optimizer, i)
    if by == "state_dict":
        other = model(1)
        resumed = slalom.optim.AdamW(other.parameters(), **form)
        other.load_state_dict(saved_and_loaded(net.state_dict()))
        resumed.load_state_dict(saved_and_loaded(optimizer.state_dict()))
    else:
        pair = net, optimizer
        other, resumed = (
            copy.deepcopy(pair) if by == "deepcopy" else pickle.loads(pickle.dumps(pair))
        )
    for i in range(3, 6):
        step(net, optimizer, i)
        step(other, resumed, i)
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert optimizer.state[a].keys() == resumed.state[b].keys()
        assert all(torch.equal(v, resumed.state[b][n]) for n, v in optimizer.state[a].items())


def test_chance_goes_on_where_a_rule_counts_nothing(all_coded):
    grads, found = torch.randn(6, 300), []
    for stop in (None, 3):
        p = Parameter(torch.zeros(300))
        how: Any = {"lr": 0.1, "momentum": 0.9, "rounding": "stochastic", **WIDE}
        optimizer = slalom.optim.SGD([p], **how)
        for i, grad in enumerate(grads):
            if i == stop:
                kept = optimizer.state_dict(snapshot=True)
                optimizer = slalom.optim.SGD([p], **how)
                optimizer.load_state_dict(kept)
            p.grad = grad.clone()
            optimizer.step()
        found.append(p.detach())
    assert torch.equal(*found)


def test_a_remainder_becomes_one_of_the_other_kind():
    p = Parameter(torch.randn(200).bfloat16())
    optimizer = slalom.optim.SGD([p], lr=1e-3, remainder="exact")
    p.grad = torch.randn(200).bfloat16()
    optimizer.step()
    exact = joined(p.detach(), optimizer.state[p]["param_remainder"])
    for kind in ("kahan", "exact"):
        kept = optimizer.state_dict(snapshot=True)
        optimizer = slalom.optim.SGD([p], lr=0.0, remainder=kind)
        kept["param_groups"][0]["lr"] = 0.0
        optimizer.load_state_dict(kept)
        p.grad = torch.zeros_like(p)
        optimizer.step()
        own = optimizer.state[p]
        now = (
            p.detach() + own["param_lost"].float()
            if kind == "kahan"
            else joined(p.detach(), own["param_remainder"])
        )
        assert (now - exact).abs().le(exact.abs() * 2.0**-15).all()
        assert (p.detach() - exact).abs().max() > 1e-4


@pytest.mark.parametrize("of", FORMS)
@pytest.mark.parametrize("to", [*FORMS, None])
@pytest.mark.parametrize("full", [False, True])
def test_any_form_goes_on_from_any_other(of, to, full, all_coded):
    """And torch's own class (None) from those that are written as float32."""
    if to is None and not full and of:
        pytest.skip("torch knows of no codes")
    net = model()
    optimizer = slalom.optim.AdamW(net.parameters(), **of)
    for i in range(3):
        step(net, optimizer, i)
    other = copy.deepcopy(net)
    exact = optimizer.state_dict(full=True, snapshot=True)["state"][0]
    made = torch.optim.AdamW if to is None else slalom.optim.AdamW
    resumed = made(other.parameters(), **(to or {}))
    resumed.load_state_dict(saved_and_loaded(optimizer.state_dict(full=full)))
    step(net, optimizer, 3)
    step(other, resumed, 3)
    assert resumed.state[other[0].weight]["step"] == 4
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0.01, atol=2e-3)
    if to is not None:
        state = resumed.state[other[0].weight]
        fresh = slalom.optim.AdamW(other.parameters(), **to)
        step(other, fresh, 0)
        due = fresh.state[other[0].weight]
        assert state.keys() == due.keys()
        assert to == {} or [state[n].dtype for n in due] == [v.dtype for v in due.values()]
    assert set(exact) == {"step", "exp_avg", "exp_avg_sq"}
    assert {v.dtype for v in exact.values()} == {torch.float32}


def test_a_group_that_comes_later_has_codes_too(all_coded):
    first, second = Parameter(torch.ones(80)), Parameter(torch.ones(90))
    optimizer = slalom.optim.Adam([first], **WIDE)
    first.grad = torch.ones(80)
    optimizer.step()
    optimizer.add_param_group({"params": [second], "lr": 0.5})
    first.grad, second.grad = torch.ones(80), torch.ones(90)
    optimizer.step()
    assert optimizer.state[second]["exp_avg"].dtype == torch.int8
    assert second[0].item() == pytest.approx(0.5, abs=0.01)


def test_through_torchs_distributed_checkpoints(all_coded):
    from torch.distributed.checkpoint import state_dict as dcp

    net = model()
    optimizer = slalom.optim.AdamW(net.parameters(), remainder="exact", **WIDE)
    step(net, optimizer, 0)
    kept = copy.deepcopy(dcp.get_optimizer_state_dict(net, optimizer))
    other = copy.deepcopy(net)
    resumed = slalom.optim.AdamW(other.parameters(), remainder="exact", **WIDE)
    dcp.set_optimizer_state_dict(other, resumed, kept)
    step(net, optimizer, 1)
    step(other, resumed, 1)
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"state_dtype": "int4"}, "must be float32, bfloat16 or 8bit"),
        ({"state_dtype": {"exp_avg": 8}}, r"state_dtype\['exp_avg'\] is 8"),
        ({"state_dtype": {"m": "8bit"}}, "names m, which AdamW lacks; its states are exp_avg"),
        ({"remainder": 16}, "must be exact, kahan or None"),
    ],
)
def test_what_makes_no_sense_is_refused(options, said):
    with pytest.raises(slalom.InputError, match=said):
        slalom.optim.AdamW([Parameter(torch.ones(3))], **options)


def test_weights_are_not_kept_in_8_bits(all_coded):
    with pytest.raises(slalom.InputError, match="holds weights"):
        slalom.optim.LookaheadAdamW([Parameter(torch.ones(3))], state_dtype={"slow": "8bit"})
    with pytest.raises(slalom.InputError, match="two points"):
        slalom.optim.ScheduleFreeSGD([Parameter(torch.ones(3))], remainder="exact")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("exp_avg_scale"), "there is no exp_avg_scale"),
        (lambda s: s.update(exp_avg_scale=torch.ones(1)), "is not 10 float32"),
        (lambda s: s.update(exp_avg=s["exp_avg"][:9]), "exp_avg_scale is not 2 float32"),
        (lambda s: s.update(param_remainder=torch.ones(70, 9)), "param_remainder is torch.float32"),
        (lambda s: s.update(param_remainder=s["param_remainder"][:8]), "has shape"),
    ],
)
def test_damage_is_named(change, said, all_coded):
    net = model()
    optimizer = slalom.optim.AdamW(net.parameters(), remainder="exact", **WIDE)
    step(net, optimizer, 0)
    before = net[0].weight.detach().clone()
    change(optimizer.state[net[0].weight])
    with pytest.raises(RuntimeError, match=said):
        step(net, optimizer, 1)
    assert torch.equal(net[0].weight, before)


def test_what_is_not_served_says_so(all_coded):
    p = Parameter(torch.ones(80, dtype=torch.float16))
    p.grad = torch.ones_like(p)
    with pytest.raises(RuntimeError, match="'kahan'"):
        slalom.optim.SGD([p], remainder="exact").step()
    with pytest.raises(ValueError, match="state_dtype is not served with differentiable=True"):
        slalom.optim.SGD([torch.ones(3)], differentiable=True, **WIDE).step()


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
@pytest.mark.parametrize("name", ["Adagrad", "RMSprop", "Adam"])
def test_sparse_gradients_touch_the_codes_of_their_rows_alone(name, rounding, all_coded):
    """In rows of whole blocks; where blocks hold parts of two rows states stay as they are."""
    generator = torch.Generator().manual_seed(3)
    for size, coded in ((128, True), (100, False)):
        start = torch.randn(9, size, generator=generator)
        exact, narrow = Parameter(start.clone()), Parameter(start.clone())
        plain = getattr(slalom.optim, name)([exact], lr=0.01)
        optimizer = getattr(slalom.optim, name)([narrow], lr=0.01, rounding=rounding, **WIDE)
        for i in range(6):
            rows = torch.tensor([[1, 4 + i % 3, 1]])
            values = torch.randn(3, size, generator=generator)
            exact.grad = torch.sparse_coo_tensor(rows, values, start.shape)
            narrow.grad = exact.grad.clone()
            before = {n: v.clone() for n, v in optimizer.state[narrow].items()}
            plain.step()
            optimizer.step()
            for key, value in before.items():
                if value.dim() > 1:
                    others = [r for r in range(9) if r not in rows[0].tolist()]
                    assert torch.equal(value[others], optimizer.state[narrow][key][others])
        dtypes = {v.dtype for n, v in optimizer.state[narrow].items() if n in plain.state[exact]}
        assert dtypes.isdisjoint(CODES) != coded
        torch.testing.assert_close(narrow, exact, rtol=0.05, atol=0.01)
        assert torch.equal(narrow[[0, 2, 3, 7, 8]], start[[0, 2, 3, 7, 8]])


def test_explain_says_bytes_a_parameter():
    p = Parameter(torch.ones(100, 1000, dtype=torch.bfloat16))
    p.grad = torch.ones_like(p)
    optimizer = slalom.optim.Adam([p], remainder="exact", **WIDE)
    found = slalom.explain(optimizer)
    assert found.bytes == pytest.approx({
        "param": 2, "grad": 2, "exp_avg": 1, "exp_avg_scale": 4 / 64, "exp_avg_sq": 1,
        "exp_avg_sq_scale": 4 / 64, "param_remainder": 2,
    }, rel=1e-3)  # fmt: skip
    assert "exp_avg_sq 1, exp_avg_sq_scale 0.0625" in str(found)
    assert str(found).endswith("faster where states outgrow its caches, and slower within them")
    for other in (slalom.optim.Adam([p], remainder="exact"), slalom.optim.PSGD([p])):
        assert "8 bits" not in str(slalom.explain(other))
    assert not optimizer.state
