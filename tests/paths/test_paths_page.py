"""The page of the paths: its way down against Python's, and in a real browser."""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import replace
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import browser
import node
from slalom.cli.moving import paths
from slalom.errors import InputError
from slalom.ir.formula import input_name
from slalom.paths import page as pages
from slalom.paths.descent import descend
from slalom.paths.lesson import LESSON
from slalom.paths.picture import COLOURS, SHADES
from slalom.paths.scene import Mover, Scene, movers, scene
from slalom.paths.sliders import controls, fixed
from slalom.paths.surfaces import NAMES, surface
from slalom.rules import REQUIRED, RULES
from slalom.rules import rule as made_rule
from slalom.rules.bounds import Choice


def computing(scene: Scene) -> str:
    """The part of the page's script that computes, and what it is given."""
    folder = resources.files("slalom.paths").joinpath("assets")
    parts = [folder.joinpath(f"{name}.js").read_text() for name in ("descent", "numbers")]
    return "\n".join([pages.data([scene]), "const SCENE = CHAPTERS[0].scene;", *parts])


@contextlib.contextmanager
def asking(scene: Scene, ask: str, folder):
    asked = node.Node(f"{computing(scene)}\nfunction ask(q) {{ {ask} }}", folder)
    with contextlib.closing(asked):
        yield asked


ALL = """
return SCENE.movers.map((mover) => {
  const {points, losses, diverged} = descend(SURFACE, SCENE, mover);
  return {points, losses, diverged};
});
"""


def compare(on: Scene, folder) -> None:
    with asking(on, ALL, folder) as page:
        for mover, there in zip(on.movers, page.ask(None), strict=True):
            here = descend(on, mover)
            assert there["diverged"] == here.diverged
            assert np.allclose(there["points"], here.points, rtol=1e-7, atol=1e-9), mover.label
            assert np.allclose(there["losses"], here.losses, rtol=1e-6, atol=1e-9), mover.label


@node.needed
@pytest.mark.parametrize("name", NAMES)
def test_the_page_goes_down_every_surface_as_python_does(name, tmp_path):
    knobs = {n: (knob.low * knob.high) ** 0.5 for n, knob in surface(name).knobs.items()}
    named = [*movers(["BGD", "SGD", "Adam"]), Mover("two at once", RULES["momentum"], {}, 2)]
    given = [Mover(m.label, m.rule, {**m.hypers, "lr": 0.01}, m.batch) for m in named]
    compare(Scene(name, given, steps=40, knobs=knobs), tmp_path)


@node.needed
def test_the_page_moves_every_rule_as_python_does(tmp_path):
    given = [Mover(name, rule, {"lr": 0.1}) for name, rule in RULES.items()]
    compare(Scene("beale", given, start=(1.5, 1.0), steps=30), tmp_path)


@node.needed
def test_what_is_of_both_coordinates_is_filled_in_with_both(tmp_path):
    named = [replace(m, hypers={"lr": 0.5}) for m in movers(["AdaGradNorm", "Muon"])]
    on = Scene("ravine", named, steps=3)
    ask = "const {updates} = descend(SURFACE, SCENE, SCENE.movers[q]);"
    ask += "return workings(RULES[SCENE.movers[q].rule], updates[0], 1);"
    with asking(on, ask, tmp_path) as page:
        (summed, *_), turned = page.ask(0), page.ask(1)[-1]
    slopes = [f"{g:.4g}" for g in on.surface.slope(on.turned, None)(*on.begin, 1)]
    assert summed[1:3] == ["sum + total(grad²)", f"0.01 + total([{', '.join(slopes)}]²)"]
    assert "√(max(2 / 1, 1))·orthogonal([" in turned[2]


@node.needed
def test_what_diverges_ends_in_the_same_step(tmp_path):
    compare(Scene("rosenbrock", [Mover("SGD", RULES["sgd"], {"lr": 1.0})]), tmp_path)


@node.needed
def test_the_numbers_of_a_formula(tmp_path):
    on = Scene("ravine", [Mover("Adam", RULES["adam"], {"lr": 0.5})], steps=3)
    ask = "return workings(RULES.adam, descend(SURFACE, SCENE, SCENE.movers[0]).updates[q], 1)"
    with asking(on, ask, tmp_path) as page:
        told = page.ask(1)
    points = descend(on, on.movers[0]).points
    grads = 0.8 * points[:, 1]
    average = 0.1 * grads[0]
    assert told[0][:2] == ["exp_avg'", "beta1·exp_avg + (1 - beta1)·grad"]
    assert told[0][2] == f"0.9·{average:.4g} + (1 - 0.9)·{grads[1]:.4g}"
    assert float(told[0][3]) == pytest.approx(0.9 * average + 0.1 * grads[1], rel=1e-3)
    assert told[1][2] == f"{told[0][3]} / (1 - 0.9^2)"
    assert told[-1][0] == "param'"
    assert float(told[-1][3]) == pytest.approx(points[2, 1], rel=1e-3)


def bounds():
    """(rule, input, control, bound, default) of every control."""
    for rule in RULES.values():
        found = controls(rule)
        for name, default in rule.hypers.items():
            parts = enumerate(default) if isinstance(default, tuple) else [(None, default)]
            for i, one in parts:
                called = name if i is None else input_name(f"{name}[{i}]")
                if called in found:
                    yield rule, called, found[called], rule.bound(name, i), one


@node.needed
def test_no_slider_reaches_what_the_rule_refuses(tmp_path):
    cases = [
        (own.name, name, control, bound, default) for own, name, control, bound, default
        in bounds() if control["kind"] in ("log", "share")
    ]  # fmt: skip

    @made_rule(bounds={"power": "<= 0", "shift": None})
    def backwards(param, grad, *, step, lr=0.1, power=-0.8, shift=-2.0):
        return param - (lr + shift) * step**power * grad

    cases += [
        ("backwards", name, controls(backwards)[name], backwards.bound(name, None), default)
        for name, default in (("power", -0.8), ("shift", -2.0))
    ]
    assert {name for _, name, *_ in cases} >= {"lr", "beta1", "eps", "momentum"}
    ask = """
    const values = [0, 0.005, 0.5, 0.995, 1].map((at) => valueAt(q.control, at));
    return [values, q.default === null ? null : valueAt(q.control, placeOf(q.control, q.default))];
    """
    with asking(Scene("ravine", movers(["SGD"]), steps=2), ask, tmp_path) as page:
        for label, name, control, bound, default in cases:
            given = None if default in (REQUIRED, None, math.inf) else default
            asked = {n: v for n, v in control.items() if n != "unset"}
            values, again = page.ask({"control": asked, "default": given})
            assert bound is None or all(v in bound for v in values), (label, name, values)
            assert sorted(values, key=abs) == values, (label, name, values)
            assert len(set(values)) == len(values), (label, name, values)
            if given is not None:
                assert again == pytest.approx(given, rel=0.05, abs=1e-6), (label, name)


def test_every_hyper_parameter_has_its_control():
    kinds = {(type(default) is bool, isinstance(bound, Choice), control["kind"])
             for _, _, control, bound, default in bounds()}  # fmt: skip
    assert {kind for boolean, _, kind in kinds if boolean} == {"check"}
    assert {kind for boolean, choice, kind in kinds if not boolean and not choice} == {
        "log", "share", "words",
    }  # fmt: skip
    assert set().union(*map(fixed, RULES.values())) == {
        "ns_dtype", "max_precond_dim", "precondition_frequency", "shampoo_beta", "eps",
    }  # fmt: skip
    assert fixed(RULES["shampoo"]).keys() == {"max_precond_dim", "precondition_frequency", "eps"}
    assert fixed(RULES["psgd"]).keys() == {"max_precond_dim"}  # the others move a vector too
    for rule in RULES.values():
        missing = fixed(rule)
        flat = set(chain.from_iterable(
            [input_name(f"{n}[{i}]") for i in range(len(d))] if isinstance(d, tuple) else [n]
            for n, d in rule.hypers.items() if n not in missing
        ))  # fmt: skip
        assert set(controls(rule)) == flat


def test_paths_stand_out_from_their_ground():
    for colours, shades in ((COLOURS, SHADES), (pages.DARK, pages.DARK_SHADES)):
        assert len(set(colours)) == 8
        for colour in colours:
            assert min(browser.contrast(colour, shade) for shade in shades) >= 3, colour


# in a browser


@pytest.fixture
def shown(tmp_path):
    on = scene("ravine", ["sgd", "momentum", "adam"], steps=40)
    return pages.write([on], tmp_path / "page.html")


USE = """
const wait = (ms) => new Promise((r) => setTimeout(r, ms));
const press = (id, key) => find(id).dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
const pixels = () => canvas.getContext('2d').getImageData(0, 0, 480, 360).data.join();
const ends = () => descents.map((d) => d.points[d.points.length - 1][0]);
const told = {};
told.paths = map.querySelectorAll('polyline').length;
told.shades = new Set(pixels().match(/\\d+,\\d+,\\d+,255/g)).size;
find('again').click(); find('step').click(); find('step').click(); find('back').click();
told.stepped = time;
told.ahead = map.querySelectorAll('polyline')[1].getAttribute('points').split(' ').length;
find('play').click(); told.playing = find('play').textContent;
await wait(1000); find('play').click(); const at = time; await wait(400);
told.played = [at, time];
const before = ends();
press('start', 'ArrowRight'); told.moved = scene.start[0];
told.all = ends().every((end, i) => end !== before[i]);
const own = ends(), lr = find('lr0');
lr.value = 0.5; lr.dispatchEvent(new Event('input'));
told.lr = scene.movers[0].hypers.lr; told.one = ends().map((end, i) => end !== own[i]);
cards[0].root.querySelector('button').click();
told.again = ends()[0] === own[0] && find('lr0').value !== '0.5';
const ground = pixels(), condition = find('of-condition');
condition.value = 1; condition.dispatchEvent(new Event('input'));
told.ground = pixels() !== ground && scene.knobs.condition === 1000;
find('show0').click(); told.hidden = map.querySelectorAll('polyline').length;
map.dispatchEvent(new MouseEvent('click', {clientX: map.getBoundingClientRect().left, clientY: map.getBoundingClientRect().top}));
told.start = scene.start;
const box = map.getBoundingClientRect();
begin.setPointerCapture = () => {}; begin.hasPointerCapture = () => true;
begin.dispatchEvent(new PointerEvent('pointermove', {clientX: box.left + box.width / 2, clientY: box.top + box.height / 2}));
told.dragged = scene.start.map(Math.round);
told.formula = cards[0].lines.textContent; told.held = cards[0].held.textContent;
tell(told);
"""  # noqa: E501


@browser.needed
def test_everything_that_can_be_turned_is_computed_at_once(shown, tmp_path):
    told = browser.asked(shown, tmp_path, USE)
    assert told["paths"] == 6
    assert told["shades"] == 18
    assert told["stepped"] == 1
    assert told["ahead"] == 2
    assert told["playing"] == "Pause"
    assert 1 < told["played"][0] == told["played"][1] < 40
    assert told["moved"] == pytest.approx(-3.3)
    assert told["all"]
    assert told["lr"] == pytest.approx(0.01)
    assert told["one"] == [True, False, False]
    assert told["again"]
    assert told["ground"]
    assert told["hidden"] == 4
    assert told["start"] == [-4, 3]
    assert told["dragged"] == [0, 0]
    assert "param' = param - lr·grad" in told["formula"]
    assert "momentum_buffer" in told["held"]


@browser.needed
def test_nothing_is_said_on_the_console(shown, tmp_path):
    """Nor asked of a network: the page's own policy forbids it, and would say so there."""
    assert "Content-Security-Policy\" content=\"default-src 'none'" in shown.read_text()
    done = browser.chromium(tmp_path, shown.as_uri(), "--dump-dom")
    assert done.stdout.count("<details") == 3
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []


@browser.needed
@pytest.mark.parametrize("dark", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_axe_finds_nothing_on_the_paths(dark, shown, tmp_path):
    """Nor does anything scroll sideways, on a large screen and on a telephone's."""
    found = browser.faults(shown, tmp_path, dark=dark, drawn=("polyline", 12))
    assert found == []


def test_the_command_writes_the_page_unless_told_otherwise(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    paths("saddle", rules="sgd", start=None, steps=5, knob=None, lesson=False, race=None, out=None)
    assert capsys.readouterr().out.strip() == "saddle.html"
    assert [f.name for f in tmp_path.iterdir()] == ["saddle.html"]
    assert "<title>How the methods move: Saddle</title>" in (tmp_path / "saddle.html").read_text()


def test_where_no_page_can_be_written_a_sentence(tmp_path):
    on = scene("ravine", ["sgd"], steps=2)
    with pytest.raises(InputError, match="there is no folder"):
        pages.write([on], tmp_path / "none" / "a.html")
    (tmp_path / "a.html").mkdir()
    with pytest.raises(InputError, match="is a folder; name a file in it"):
        pages.write([on], tmp_path / "a.html")
    assert [f.name for f in tmp_path.iterdir()] == ["a.html"]


# the lesson


@node.needed
def test_where_time_is_counted_in_samples_who_sees_many_waits(tmp_path):
    on = replace(LESSON[0], steps=140)
    ask = "return SCENE.movers.map((m) => seen(SURFACE, SCENE, m))"
    with asking(on, ask, tmp_path) as page:
        whole, single = page.ask(None)
    for mover, each, there in zip(on.movers, (64, 1), (whole, single), strict=True):
        here = descend(replace(on, steps=140 // each), mover).points
        assert np.allclose(there["points"], [here[t // each] for t in range(141)]), mover.label
        assert len(there["losses"]) == 141
    assert whole["updates"][62] is None  # JSON has no undefined
    assert [u["inputs"]["step"] for u in whole["updates"][63::64]] == [1, 2]


def test_the_lesson_shows_what_it_says():
    def above(chapter: int) -> list[np.ndarray]:
        on = LESSON[chapter]
        return [descend(on, mover).losses - on.lowest for mover in on.movers]

    sgd = above(0)[1]
    assert sgd[63] < sgd[0] / 10  # before BGD has moved at all
    loud, quiet, batched = (float(np.mean(losses[-64:])) for losses in above(1))
    assert quiet < loud
    assert batched < loud
    plain, heavy, ahead = (losses[-1] for losses in above(2))
    assert heavy < plain / 10
    assert ahead < plain / 10
    ends = [descend(LESSON[3], mover).points[-1] for mover in LESSON[3].movers]
    assert abs(ends[1][1]) < abs(ends[0][1]) / 10  # the rare y
    low, high = above(4)
    assert high[-1] < low[-1] / 10
    assert low[-1] > low[150] / 3  # hardly anything in the second half
    stalled, goes_on = above(5)
    assert goes_on[-1] < stalled[-1] / 10
    with_it, without = (
        np.linalg.norm(np.diff(descend(LESSON[6], mover).points, axis=0), axis=1) / np.sqrt(2)
        for mover in LESSON[6].movers
    )
    assert with_it[0] == pytest.approx(0.2, rel=1e-4)
    assert without[0] / with_it[0] == pytest.approx(0.1 / 0.001**0.5, rel=1e-3)
    assert without[:3].max() > without[0]


TURN = """
const told = {titles: pages.map((p) => p.textContent), seen: []};
for (const page of pages) {
  page.click();
  const drawn = map.querySelectorAll('polyline').length;
  told.seen.push([find('title').textContent, cards.length, drawn, find('now').textContent]);
}
told.pressed = pages.map((p) => p.getAttribute('aria-pressed'));
pages[0].click();
told.back = find('title').textContent;
tell(told);
"""


KNOBS = """
const card = cards.find((one) => one.mover.rule === q.rule);
const id = `${q.name}${card.i}`;
const control = document.getElementById(id), knob = control.closest('.knob');
const [given] = knob.querySelectorAll('input[type=checkbox]');
const value = () => card.mover.hypers[q.name];
const told = {first: value() ?? 'default', off: control.disabled, losses: []};
const look = () => { card.root.open = true; card.say(); told.losses.push(card.loss.textContent); };
look();
for (const turn of q.turns) {
  if (turn === 'give') { given.click(); }
  else {
    control.selectedIndex = turn;
    control.dispatchEvent(new Event('change'));
  }
  look();
  told.losses.push(value());
}
tell(told);
"""


@browser.needed
def test_what_need_not_be_given_is_given_by_a_box_and_what_counts_is_chosen(tmp_path):
    on = Scene("ravine", movers(["Prodigy", "Muon"]), steps=20)

    def turned(rule: str, name: str, *turns: Any) -> list[Any]:
        path = pages.write([on], tmp_path / f"{name}.html", "knobs")
        q = json.dumps({"rule": rule, "name": name, "turns": turns})
        return browser.asked(path, tmp_path, f"const q = {q};{KNOBS}")["losses"]

    plain, first, beta3, again, none = turned("prodigy", "beta3", "give", "give")
    assert first != plain  # beta3 of a share in place of the root of beta2
    assert 0 < beta3 < 1
    assert (again, none) == (plain, None)
    plain, fewer, steps, odd, original = turned("muon", "ns_steps", 1, 5)
    assert (steps, original) == (1, 5)
    assert fewer != plain
    assert odd == plain


@browser.needed
def test_the_lesson_is_turned_page_by_page(tmp_path):
    path = pages.write(LESSON, tmp_path / "lesson.html", "a lesson")
    assert path.stat().st_size < 200_000
    told = browser.asked(path, tmp_path, TURN)
    assert told["titles"] == [f"{i + 1} {on.title}" for i, on in enumerate(LESSON)]
    for on, (title, cards, lines, now) in zip(LESSON, told["seen"], strict=True):
        assert (title, cards, lines) == (on.title, len(on.movers), 2 * len(on.movers))
        counted = "sample" if on.clock == "samples" else "step"
        assert now == f"{counted} {on.end} of {on.end}"
    assert told["pressed"] == ["false"] * (len(LESSON) - 1) + ["true"]
    assert told["back"] == LESSON[0].title


@browser.needed
@pytest.mark.slow
def test_axe_finds_nothing_on_the_lesson(tmp_path):
    path = pages.write(LESSON, tmp_path / "lesson.html")
    assert browser.faults(path, tmp_path, dark=False, drawn=("polyline", 4)) == []


def test_a_lesson_takes_nothing_that_a_surface_does(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = {"rules": None, "start": None, "steps": None, "knob": None, "race": None, "out": None}
    with pytest.raises(InputError, match="--steps does nothing for a lesson"):
        paths(None, **{**given, "steps": 5}, lesson=True)
    with pytest.raises(InputError, match=r"end a.png in .html"):
        paths(None, **{**given, "out": Path("a.png")}, lesson=True)
    for more in ({"race": Path("race")}, {"directions": "random"}):
        with pytest.raises(InputError, match="does nothing for a lesson"):
            paths(None, **{**given, **more}, lesson=True)
    paths(None, **given, lesson=True)
    assert capsys.readouterr().out.strip() == "lesson.html"


@pytest.mark.parametrize("option", ["rules", "start", "steps", "knob"])
def test_what_a_race_has_of_its_own_is_refused(option):
    with pytest.raises(InputError, match=f"--{option} does nothing for the plane of a race"):
        paths("digits", race=Path("none"), **{option: "5"})
    with pytest.raises(InputError, match="--directions does nothing for a surface"):
        paths("ravine", directions="random")
