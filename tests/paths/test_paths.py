"""Rules going down surfaces: the surfaces, the ways down, the pictures, the command."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch

import served
from slalom.errors import InputError
from slalom.optim.classes import optimizer
from slalom.paths import picture
from slalom.paths.descent import RATES, descend, tuned
from slalom.paths.scene import USUAL, Mover, Scene, movers, scene
from slalom.paths.surfaces import NAMES, surface
from slalom.rules import RULES

drawn = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed"
)


@pytest.mark.parametrize("name", NAMES)
def test_a_surface_is_what_it_says(name):
    s = surface(name)
    left, right, bottom, top = s.view
    assert (right - left) / (top - bottom) == pytest.approx(4 / 3)
    for at in [s.start, *s.minima]:
        assert left <= at[0] <= right
        assert bottom <= at[1] <= top
    height, slope = s.height(s.usual), s.slope(s.usual, None)
    for at in s.minima:
        assert np.allclose(slope(*at, 1), 0, atol=1e-4)
    a, b = np.meshgrid(np.linspace(left, right, 99), np.linspace(bottom, top, 99))
    assert height(a, b).min() >= min(height(*at) for at in s.minima) - 1e-9
    h = 1e-6
    differences = [
        (height(s.start[0] + h, s.start[1]) - height(s.start[0] - h, s.start[1])) / (2 * h),
        (height(s.start[0], s.start[1] + h) - height(s.start[0], s.start[1] - h)) / (2 * h),
    ]
    assert slope(*s.start, 1) == pytest.approx(differences, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", [n for n in NAMES if surface(n).samples])
def test_the_gradients_of_an_epoch_have_the_mean_of_all(name):
    s = surface(name)
    n = len(s.samples)
    one = s.slope(s.usual, 1)
    each = np.array([one(*s.start, step) for step in range(1, n + 1)])
    assert each.std(axis=0).max() > 0.1
    assert each.mean(axis=0) == pytest.approx(s.slope(s.usual, None)(*s.start, 1))
    pairs = s.slope(s.usual, 2)
    assert pairs(*s.start, 3) == pytest.approx(each[4:6].mean(axis=0))


@pytest.mark.parametrize("name", ["sgd", "adam", "asgd", "schedule_free_adamw"])
def test_a_descent_is_that_of_the_optimizer(name):
    on = Scene("ravine", [Mover(name, RULES[name], {"lr": 0.05})], steps=20)
    found = descend(on, on.movers[0])
    at = torch.tensor(on.begin, dtype=torch.float64, requires_grad=True)
    stepped = optimizer(RULES[name])([at], lr=0.05)
    for point in found.points[1:]:
        stepped.zero_grad()
        (0.4 * (at[0] ** 2 / 30 + at[1] ** 2)).backward()
        stepped.step()
        assert at.detach().numpy() == pytest.approx(point, rel=1e-6)
    assert found.losses[-1] == pytest.approx(0.4 * (at[0] ** 2 / 30 + at[1] ** 2).item())


def test_what_diverges_ends_and_says_so():
    on = Scene("rosenbrock", [Mover("SGD", RULES["sgd"], {"lr": 1.0})])
    found = descend(on, on.movers[0])
    assert found.diverged is not None
    assert len(found.points) == found.diverged
    assert np.isfinite(found.losses).all()
    assert f"diverged in step {found.diverged}" in picture.told(found)


def test_the_rate_found_is_the_best_of_those_tried():
    on = Scene("ravine", movers(["SGD"]), steps=40)
    rate = tuned(on, on.movers[0]).hypers["lr"]
    ends = {}
    for r in RATES:
        way = descend(on, replace(on.movers[0], hypers={"lr": r}))
        ends[r] = np.log(way.losses).mean() if way.diverged is None else np.inf
    assert rate == min(ends, key=ends.__getitem__) == 2.0
    assert descend(on, on.movers[0]).mover.hypers["lr"] == rate


def test_who_moves_where_nobody_is_named():
    found = movers(USUAL)
    assert [m.rule.name for m in found] == ["sgd", "momentum", "adagrad", "rmsprop", "adam"]
    bgd, nesterov = movers(["BGD", "nesterov"])
    assert bgd.batch is None
    assert nesterov.hypers == {"nesterov": True}


@drawn
@pytest.mark.parametrize(
    ("kind", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("gif", b"GIF8")]
)
def test_a_picture_is_of_the_kind_its_name_says(kind, begins, tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "FRAMES", 3)
    shown = scene("noisy-bowl", ["bgd", "sgd"], steps=8)
    path = picture.write(picture.of_scene(shown), tmp_path / f"it.{kind}")
    assert path.read_bytes().startswith(begins)
    assert [f.name for f in tmp_path.iterdir()] == [path.name]


@drawn
def test_a_film_shows_as_much_of_each_path_as_its_time_says():
    shown = picture.of_scene(scene("ravine", ["sgd", "adam"], steps=10))
    film = picture.Drawing(shown)
    for time in (0, 4, 10):
        artists = film.show(time)
        paths = artists[::3]
        assert [len(p.get_xdata()) for p in paths] == [time + 1] * 2
    assert paths[1].get_xdata()[-1] == shown.points[1][-1, 0]


@drawn
def test_without_ffmpeg_a_sentence(tmp_path, monkeypatch):
    from matplotlib import animation

    monkeypatch.setattr(animation.FFMpegWriter, "isAvailable", lambda: False)
    with pytest.raises(InputError, match="an MP4 needs ffmpeg"):
        picture.refuse(tmp_path / "it.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ravin"], "there is no surface 'ravin'; there are"),
        (["ravine", "--rules", "adamm"], "there is no rule 'adamm'; did you mean Adam?"),
        (["ravine", "--rules", "sgd,SGD"], "SGD is named twice; name each rule once"),
        (["ravine", "--rules", ",".join(list(RULES)[:9])], "9 rules are named; 8 at most"),
        (["ravine", "--start", "1"], "the start is '1'; it must be two numbers, as in -1,2"),
        (["ravine", "--start", "nan,1"], "the start nan,1 is not in view; x must be from -4 to 4"),
        (["ravine", "--steps", "0"], "steps is 0; it must be from 1 to 10000"),
        (["ravine", "--knob", "depth=1"], "has no knob 'depth'; it has condition"),
        (["ravine", "--knob", "condition=0"], "condition is '0'; it must be a number from 1"),
        (["ravine", "--out", "a.jpg"], "a.jpg ends in no format that is drawn"),
        (["ravine", "--out", "none/a.png"], "there is no folder none"),
    ],
)
def test_bad_input_is_one_sentence(arguments, message, tmp_path):
    if "none/a.png" in arguments:
        pytest.importorskip("matplotlib")
    done = served.Started(served.slalom, "paths", *arguments, cwd=tmp_path).ended()
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
