"""Parts of a model, each with its loss and its optimizer, trained in turn: as in a GAN."""

import pytest
import torch
from torch import nn

import slalom
from slalom.errors import InputError
from slalom.train import Run, Task
from slalom.train.loop import LoopRun

REAL = 2 + 0.5 * torch.randn(256, 1)
bce = nn.functional.binary_cross_entropy_with_logits


class Gan(nn.Module):
    def __init__(self):
        super().__init__()
        self.critic = nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 1))
        self.generator = nn.Linear(1, 1)


def critic(model, real):
    fake = model.generator(torch.randn(len(real), 1)).detach()
    right, wrong = model.critic(real), model.critic(fake)
    return bce(right, torch.ones_like(right)) + bce(wrong, torch.zeros_like(wrong))


def generator(model, real):
    judged = model.critic(model.generator(torch.randn(len(real), 1)))
    return bce(judged, torch.ones_like(judged))


def distance(model, loader):
    made, real = model.generator(torch.randn(512, 1)), torch.cat(list(loader))
    return ((made.mean() - real.mean()).abs() + (made.std() - real.std()).abs()).item()


def gan(**options):
    given = {"step": {"critic": critic, "generator": generator}, "metric": distance}
    given |= {"higher_is_better": False, "batch_size": 32, "name": "gan"}
    return Task(Gan, train=REAL, valid=REAL[:64], **given | options)


@pytest.mark.parametrize("rule", [slalom.optim.Adam, torch.optim.RMSprop])
def test_each_part_has_an_optimizer_of_its_own(rule):
    task = gan()
    task.check()
    run = Run(task, lambda p: rule(p, lr=0.02), 3)
    model, noise = task.make_model(3), Run(task, lambda p: rule(p, lr=0.02), 3)._random
    parts = [(loss, getattr(model, loss.__name__)) for loss in (critic, generator)]
    turns = [(loss, rule(part.parameters(), lr=0.02)) for loss, part in parts]
    for step in range(20):
        total = 0
        with noise:
            for loss, optimizer in turns:
                model.zero_grad()
                value = loss(model, task.train.batches(32, 3)[step][0])
                value.backward()
                optimizer.step()
                total += value.item()
        assert run.advance(1) == total


def test_it_is_ranked_by_the_metric_and_resumes(tmp_path):
    one, half = (Run(gan(clip_norm=1.0), lambda p: torch.optim.Adam(p, 0.02), 1) for _ in range(2))
    one.advance(10)
    found = one.evaluate()
    assert found.valid_loss == found.metric > 0
    half.advance(4)
    half.save(tmp_path / "it.pt")
    again = Run(gan(clip_norm=1.0), lambda p: torch.optim.Adam(p, lr=0.02), 1)
    again.load(tmp_path / "it.pt")
    again.advance(6)
    assert again.evaluate().metric == found.metric


def test_it_is_raced_to_what_the_user_says(tmp_path):
    result = slalom.race(
        gan(), entrants=["Adam", "RMSProp"], budget="4 epochs", points_each=2, seeds=3,
        baseline=None, out=tmp_path / "it", progress=False,
    )  # fmt: skip
    assert all(s.at_end < 3 for s in result.standings)
    assert "(part.parameters()" in result.winner.snippet()
    assert "one for each part of the model: critic, generator" in result.winner.snippet()


def loop(trial):
    model, data = Gan(), REAL[:32]
    turns = [(loss, trial.optimizer(getattr(model, loss.__name__).parameters()))
             for loss in (critic, generator)]  # fmt: skip
    while True:
        for _ in range(5):
            for loss, optimizer in turns:
                model.zero_grad()
                loss(model, data).backward()
                optimizer.step()
        yield distance(model, [data])


def test_a_loop_with_two_optimizers():
    task = slalom.trial(every=5, max_steps=20, higher_is_better=False)(loop)
    task.check()
    run = LoopRun(task, lambda p: torch.optim.Adam(p, lr=0.02), 0)
    run.advance(10)
    assert run.step == 10
    assert len(run.weights()) == 6


def trains(model, real):
    loss = critic(model, real)
    loss.backward()
    return loss


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": None}, "a model in parts has no one loss that says how good it is; give"),
        ({"metric": "loss"}, "a model in parts has no one loss that says how good it is; give"),
        ({"step": {"critic": critic}}, "it must name two parts of the model or more"),
        ({"step": {"critc": critic, "generator": generator}}, "no module of that name; it has cri"),
        ({"step": trains}, "step updates the model, or calls backward, which the race does"),
    ],
)
def test_what_cannot_be_is_said(options, message):
    with pytest.raises(InputError, match=message):
        gan(**options).check()


def test_an_optimizer_that_asks_for_the_loss_is_refused():
    with pytest.raises(InputError, match="a LBFGS asks for the loss by itself, and a model in par"):
        Run(gan(), torch.optim.LBFGS, 0)
