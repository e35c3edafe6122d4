"""``slalom.optim.split``: who goes where, one schedule, one checkpoint, the steps of both rules."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, OneCycleLR

import slalom
from slalom.optim import AdamW, Muon, split
from slalom.optim.splitting import HIDDEN, reasons


class Tiny(nn.Module):
    """A decoder with all that is usual: tied weights, positions, norms, a fused projection."""

    def __init__(self, tied: bool = False, head: str = "lm_head"):
        super().__init__()
        self.tokens = nn.Embedding(11, 8)
        self.pos = nn.Parameter(torch.zeros(5, 8))
        self.mix, self.norm = nn.Linear(8, 24), nn.LayerNorm((5, 8))
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        setattr(self, head, nn.Linear(8, 11, bias=False))
        self.last = nn.Linear(24, 8)
        if tied:
            getattr(self, head).weight = self.tokens.weight

    def forward(self, x):
        x = self.norm(self.tokens(x) + self.pos)
        x = x + self.attend(x, x, x)[0]
        return self.lm_head(self.last(torch.relu(self.mix(x))))


def loss_of(model):
    return model(torch.arange(10).view(2, 5)).square().mean()


def test_modules_and_names_decide():
    found = reasons(Tiny())
    assert found == {
        "tokens.weight": "an embedding", "pos": "called an embedding",
        "mix.weight": HIDDEN, "mix.bias": "a vector",
        "norm.weight": "of a norm", "norm.bias": "of a norm",
        "attend.in_proj_weight": HIDDEN, "attend.in_proj_bias": "a vector",
        "attend.out_proj.weight": HIDDEN, "attend.out_proj.bias": "a vector",
        "lm_head.weight": "of the output layer", "last.weight": HIDDEN, "last.bias": "a vector",
    }  # fmt: skip


def test_without_such_a_name_the_last_matrix_is_the_output_layer():
    found = reasons(Tiny(head="way"))
    assert found["way.weight"] == HIDDEN
    assert found["last.weight"] == "of the output layer, the last one"
    found = reasons(Tiny(tied=True))
    assert found["tokens.weight"] == "an embedding"
    assert "lm_head.weight" not in found
    assert found["last.weight"] == "of the output layer, the last one"


def test_a_matrix_shared_with_an_embedding_goes_with_it():
    model = nn.ModuleDict({"first": nn.Linear(8, 11), "words": nn.Embedding(11, 8)})
    model["words"].weight = model["first"].weight
    assert reasons(model)["first.weight"] == "shared with the embedding words"


def test_a_head_is_known_inside_of_a_wrapper():
    found = reasons(nn.ModuleDict({"net": Tiny(), "after": nn.Linear(3, 3)}))
    assert found["net.lm_head.weight"] == "of the output layer"
    assert found["after.weight"] == HIDDEN


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.Conv2d(4, 8, 3), HIDDEN),
        (nn.Conv2d(4, 8, 3, groups=2), "of a convolution in groups"),
        (nn.Linear(5, 1), "a vector"),
        (nn.Linear(1, 5), "a vector"),
        (nn.EmbeddingBag(5, 4), "an embedding"),
        (nn.Linear(3, 4, dtype=torch.complex64), "complex"),
        (nn.GRU(3, 4), HIDDEN),
        (nn.LayerNorm((3, 4)), "of a norm"),
        (nn.ParameterDict({"rel_pos_bias": nn.Parameter(torch.ones(3, 4))}), "called an embedding"),
        (nn.ParameterDict({"composition": nn.Parameter(torch.ones(3, 4))}), HIDDEN),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, nn.Module) else v,
)  # fmt: skip
def test_each_kind_of_module(module, expected):
    model = nn.ModuleDict({"one": module, "head": nn.Linear(3, 3)})
    assert next(iter(reasons(model).values())) == expected


def test_its_steps_are_those_of_both_rules():
    model = Tiny()
    other = copy.deepcopy(model)
    optimizer = split(
        model, {"rule": "Muon", "lr": 0.02, "ns_dtype": "float32"}, {"lr": 3e-3}, weight_decay=0.1
    )
    why, named = reasons(other), dict(other.named_parameters())
    both = [
        Muon([p for n, p in named.items() if why[n] == HIDDEN], lr=0.02, ns_dtype="float32",
             weight_decay=0.1),
        AdamW([p for n, p in named.items() if why[n] != HIDDEN], lr=3e-3, weight_decay=0.1),
    ]  # fmt: skip
    for _ in range(3):
        loss_of(model).backward()
        loss_of(other).backward()
        for one in (optimizer, *both):
            one.step()
            one.zero_grad()
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-7)


def test_explain_says_who_went_where_and_why():
    model = Tiny()
    optimizer = split(model)
    loss_of(model).backward()
    for one in (optimizer, pickle.loads(pickle.dumps(optimizer)), copy.deepcopy(optimizer)):
        said = {row[0]: row[4] for row in slalom.explain(one).rows}
        assert said["mix.weight"].endswith("; Muon, a hidden matrix")
        assert said["tokens.weight"].endswith("; AdamW, an embedding")
    assert {row[0] for row in slalom.explain(optimizer).rows} == set(reasons(model))


@pytest.mark.parametrize(
    "schedule",
    [
        lambda o: CosineAnnealingLR(o, 4),
        lambda o: LambdaLR(o, lambda n: 1 / (1 + n)),
        lambda o: OneCycleLR(
            o, [g["lr"] for g in o.param_groups], total_steps=9, cycle_momentum=False
        ),
    ],
    ids=["cosine", "lambda", "one cycle"],
)
def test_one_schedule_scales_both(schedule):
    optimizer = split(Tiny(), {"lr": 0.02}, {"lr": 0.004})
    scheduler = schedule(optimizer)
    rates = []
    for _ in range(3):
        optimizer.step()
        scheduler.step()
        rates.append([g["lr"] for g in optimizer.param_groups])
    assert len({round(hidden, 9) for hidden, _ in rates}) == 3
    for hidden, rest in rates:
        assert hidden == pytest.approx(5 * rest)


@pytest.mark.parametrize("matrix", ["Muon", "SOAP", "Shampoo", "PSGD"])
def test_a_run_goes_on_to_the_bit(matrix):
    model = Tiny()
    optimizer = split(model, {"rule": matrix, "lr": 0.02}, {"lr": 0.01})
    for _ in range(2):
        loss_of(model).backward()
        optimizer.step()
        optimizer.zero_grad()
    stream = io.BytesIO()
    torch.save((model.state_dict(), optimizer.state_dict()), stream)
    stream.seek(0)
    weights, saved = torch.load(stream)
    other = Tiny()
    other.load_state_dict(weights)
    resumed = split(other, matrix)
    resumed.load_state_dict(saved)
    for one, its in ((model, optimizer), (other, resumed)):
        for _ in range(2):
            loss_of(one).backward()
            its.step()
            its.zero_grad()
    assert all(map(torch.equal, model.parameters(), other.parameters()))


def test_gradients_are_unscaled_and_clipped_together():
    model = Tiny()
    other = copy.deepcopy(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    optimizer, plain = split(model, clip_norm=0.1), split(other, clip_norm=0.1)
    scaler.scale(loss_of(model)).backward()
    scaler.step(optimizer)
    scaler.update()
    loss_of(other).backward()
    plain.step()
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-7)


def test_other_rules_and_a_class():
    optimizer = split(Tiny(), matrix=Muon, rest={"rule": "Lion", "lr": 1e-4}, lr=0.01)
    assert [(g["rule"], g["lr"]) for g in optimizer.param_groups] == [
        ("Muon", 0.01), ("Lion", 1e-4),
    ]  # fmt: skip


def test_wrong_input_gets_one_sentence():
    with pytest.raises(slalom.InputError, match="split is given a generator; give it the model"):
        split(Tiny().parameters())  # pyright: ignore[reportArgumentType]
    with pytest.raises(slalom.InputError, match="Linear has no hidden matrix to split off"):
        split(nn.Linear(4, 3))
    with pytest.raises(slalom.InputError, match=r"0\.weight has no shape yet"):
        split(nn.Sequential(nn.LazyLinear(4), nn.Linear(4, 3)))
    with pytest.raises(ValueError, match="names no rule"):
        split(Tiny(), matrix="Moun")
    with pytest.raises(TypeError, match="none of the rules has an argument 'momentun'"):
        split(Tiny(), momentun=0.9)
