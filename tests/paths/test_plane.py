"""A plane through trained weights: its axes, what is projected, the loss on it, its page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector

import browser
import node
import slalom
from slalom.cli.moving import paths
from slalom.errors import InputError
from slalom.paths import page as pages
from slalom.paths import picture, plane
from slalom.paths.plane import COLUMNS, ROWS, Plane, Way, chapter, landscape, principal, view_of
from slalom.racing.entrants import FIELD, Entrant
from slalom.racing.result import Result
from slalom.train.loop import begun
from small import small_task


@pytest.fixture(scope="module")
def shown(raced):
    return landscape(small_task(), raced)


def test_the_ways_are_the_runs_of_the_races_settings(raced, shown):
    assert [way.label for way in shown.ways] == [s.label for s in raced.standings]
    first = raced.standings[0]
    run = begun(small_task(), Entrant(0, FIELD[first.rule], first.hypers).optimizer, 0, None)
    way = shown.ways[0]
    assert torch.equal(way.weights[0], parameters_to_vector(run.model.parameters()))
    steps = len(way.losses) - 1
    every = int(shown.says.split("every ")[1].split()[0])
    run.advance(every * steps)
    assert torch.equal(way.weights[-1], parameters_to_vector(run.model.parameters()))
    assert way.losses[-1] == pytest.approx(run.evaluate().valid_loss)
    assert all(torch.equal(w.weights[0], way.weights[0]) for w in shown.ways)  # one seed


def test_ways_that_lie_in_a_plane_are_found_in_it():
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(50, 2, generator=generator)).Q.T
    flat = torch.randn(2, 12, 2, generator=generator)
    own = [Way(str(i), 3 + f @ basis, [0.0] * 12) for i, f in enumerate(flat)]
    found = principal(own)
    assert "100% of what they move" in found.said
    assert torch.allclose(found.axes @ found.axes.T, torch.eye(2), atol=1e-5)
    for way, where in zip(own, flat, strict=True):
        points = found.project(way.weights)
        assert torch.allclose(torch.cdist(points, points), torch.cdist(where, where), atol=1e-4)
        assert torch.allclose(found.at(*points[3].tolist()), way.weights[3], atol=1e-4)


def test_a_projection_is_the_nearest_point_whatever_the_axes():
    axes = torch.tensor([[2.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    found = Plane(torch.tensor([0.0, 0.0, 1.0]), axes, "")
    assert torch.allclose(found.project(torch.tensor([[3.0, 1.0, 7.0]])), torch.ones(1, 2))


def test_random_directions_have_filters_as_long_as_the_weights(shown):
    task = small_task()
    found = plane.random(task, shown.ways)
    at = 0
    for p in task.make_model(0).parameters():
        weights = shown.ways[0].weights[-1][at : at + p.numel()].view_as(p)
        for axis in found.axes:
            own = axis[at : at + p.numel()].view_as(p)
            lengths = torch.zeros_like(p) if p.dim() < 2 else own.norm(dim=1)
            assert torch.allclose(lengths, weights.norm(dim=1) if p.dim() > 1 else lengths)
            assert p.dim() > 1 or not own.any()
        at += p.numel()
    assert torch.equal(found.middle, shown.ways[0].weights[-1])


def test_the_ground_is_the_loss_of_the_weights_there(shown):
    left, right, bottom, top = shown.view
    assert (right - left) / (top - bottom) == pytest.approx(4 / 3)
    for points in shown.points:
        assert (points[:, 0] >= left).all()
        assert (points[:, 1] <= top).all()
    task, found = small_task(), principal(shown.ways)
    model = task.make_model(0).eval()
    torch.nn.utils.vector_to_parameters(found.at(left, top), model.parameters())
    assert shown.heights.shape == (ROWS, COLUMNS)
    assert shown.heights[-1, 0] == pytest.approx(task.judge(model)[0], rel=1e-4)
    assert view_of([torch.zeros(1, 2)], 1.0) == (-1, 1, -0.75, 0.75)


def test_what_cannot_be_shown_is_a_sentence(raced, tmp_path):
    with pytest.raises(InputError, match="the race is of small, and the task is other"):
        landscape(small_task(name="other"), raced)
    other = small_task()
    other.train.arrays[0].add_(1)
    with pytest.raises(InputError, match="the training data of small is not that of the race"):
        landscape(other, raced)
    still = [Way("a", torch.zeros(2, 5), [1.0, 1.0])]
    with pytest.raises(InputError, match="show no plane"):
        principal(still)
    given = {"rules": None, "start": None, "steps": None, "knob": None, "lesson": False}
    with pytest.raises(InputError, match="name the race's task before --race"):
        paths(None, race=raced.path, out=None, **given)
    with pytest.raises(InputError, match="it is principal or random"):
        paths("digits", race=raced.path, directions="any", out=None, **given)
    with pytest.raises(InputError, match=r"a.jpg ends in no format that is drawn"):
        paths("digits", race=raced.path, out=Path("a.jpg"), **given)
    with pytest.raises(InputError, match="there is no folder none"):
        paths("digits", race=raced.path, out=Path("none/a.html"), **given)


def test_a_picture_of_it_has_the_ways_the_ground_and_the_losses(shown, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(picture, "FRAMES", 3)
    given = picture.of_landscape(shown)
    drawn = picture.Drawing(given)
    ground, loss = drawn.figure.axes
    assert ground.get_title(loc="left") == shown.title
    assert [line.get_label() for line in loss.lines] == [w.label for w in shown.ways]
    for way, points, (path, _, curve) in zip(
        shown.ways, shown.points, zip(*[iter(drawn.show(given.end))] * 3, strict=True), strict=True
    ):
        assert np.array_equal(path.get_xydata(), points)
        assert list(curve.get_xdata()) == [shown.every * i for i in range(len(points))]
        assert list(curve.get_ydata()) == pytest.approx(way.losses)
    for kind, begins in (("png", b"\x89PNG"), ("gif", b"GIF8")):
        path = picture.write(given, tmp_path / f"it.{kind}")
        assert path.read_bytes().startswith(begins)


def test_a_loss_below_zero_is_drawn_where_it_is(shown):
    pytest.importorskip("matplotlib")
    below = [replace(way, losses=[x - 100 for x in way.losses]) for way in shown.ways]
    drawn = picture.Drawing(picture.of_landscape(replace(shown, ways=below)))
    loss = drawn.figure.axes[1]
    assert loss.get_yscale() == "linear"
    assert np.allclose(loss.lines[0].get_ydata(), below[0].losses)


@node.needed
def test_the_page_has_the_ground_between_the_points_of_the_grid(shown, tmp_path):
    text = pages.write_landscape(shown, tmp_path / "plane.html").read_text()
    script = text.split("<script>\n")[1].split("</script>")[0]
    data = script[: script.index("// A mover's way down")]
    functions = script[script.index("// A mover's way down") : script.index("// Numbers as people")]
    ask = "const [x, y] = q; return SURFACES.own.loss(x, y);"
    asked = node.Node(f"{functions}\n{data}\nfunction ask(q) {{ {ask} }}", tmp_path)
    left, right, bottom, top = shown.view
    x, y = np.linspace(left, right, COLUMNS), np.linspace(bottom, top, ROWS)
    heights = chapter(shown)[0]["heights"]
    try:
        assert asked.ask([x[3], y[7]]) == pytest.approx(heights[7][3], rel=1e-6)
        between = asked.ask([(x[3] + x[4]) / 2, (y[7] + y[8]) / 2])
        corners = [heights[i][j] for i in (7, 8) for j in (3, 4)]
        assert between == pytest.approx(np.mean(corners), rel=1e-6)
        assert asked.ask([right + 1, top + 1]) == pytest.approx(heights[-1][-1])
    finally:
        asked.close()


LOOK = """
const told = {};
told.lines = map.querySelectorAll('polyline').length;
told.hidden = [...document.querySelectorAll('.computed')].every((e) => e.hidden);
told.ground = new Set(canvas.getContext('2d').getImageData(0, 0, 480, 360).data).size > 10;
find('again').click(); find('step').click();
told.now = find('now').textContent;
cards[0].root.open = true; cards[0].say();
told.card = cards[0].root.textContent;
tell(told);
"""


@browser.needed
def test_the_page_shows_the_ways_in_a_browser(shown, tmp_path):
    told = browser.asked(pages.write_landscape(shown, tmp_path / "p.html"), tmp_path, LOOK)
    assert told["lines"] == 2 * len(shown.ways)
    assert told["hidden"]
    assert told["ground"]
    assert told["now"] == f"look 1 of {max(len(w.losses) for w in shown.ways) - 1}"
    assert shown.ways[0].label in told["card"]
    assert "Where it is on the plane" in told["card"]


def test_what_is_set_for_the_race_is_set_on_the_plane(tmp_path):
    fixed = slalom.race(
        small_task(), entrants=["Momentum"], space={"momentum": 0.5}, points_each=2, seeds=3,
        out=tmp_path / "fixed",
    )  # fmt: skip
    (way,), every = plane.ways(small_task(), Result(fixed.path))
    (first,) = fixed.standings
    lr = first.hypers["lr"]
    run = begun(small_task(), lambda p: torch.optim.SGD(p, lr, momentum=0.5), 0, None)
    run.advance(every * (len(way.losses) - 1))
    theirs = parameters_to_vector(run.model.parameters())
    assert torch.allclose(way.weights[-1], theirs, atol=1e-4)
    warmed = slalom.race(
        small_task(), entrants=["SGD"], space={"warmup": 0.1}, points_each=2, seeds=3,
        out=tmp_path / "warmed",
    )  # fmt: skip
    with pytest.raises(InputError, match="raced with warmup, which is of the run"):
        plane.ways(small_task(), warmed)
