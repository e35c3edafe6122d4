"""The page of a race: one HTML file that needs nothing else, not even a network."""

from __future__ import annotations

import html
import json
from functools import cache
from importlib import resources
from string import Template

from slalom.racing.result import Result
from slalom.report.chart import UNITS, Chart
from slalom.report.charts import charts
from slalom.report.figures import figure
from slalom.report.style import DASHES, Key, Style, legend
from slalom.report.table import columns
from slalom.report.told import WORDS, bill, evidence, fates, title

SCALES = ("as drawn", "linear", "logarithmic")


def page(result: Result) -> str:
    """The page as HTML."""
    winner = result.winner
    drawn = charts(result)
    keys = legend(result)
    return Template(asset("page.html")).substitute(
        title=_text(title(result)),
        style=asset("page.css"),
        verdict=_text(result.verdict.text),
        snippet=(
            f'<pre tabindex="0" role="region" aria-label="The winner in Python"><code>'
            f"{_text(winner.snippet())}</code></pre>" if winner else ""
        ),
        standings=_standings(result, {key.rule: key.style for key in keys}),
        bill=_text(bill(result)),
        legend="".join(map(_key, keys)),
        units="count in " + _buttons(UNITS),
        scales="its axis " + _buttons(SCALES),
        value_scales="other axis " + _buttons(SCALES),
        batches=_text(batches(result)),
        plots="\n".join(map(_plot, drawn)) or "<p>Nothing was evaluated that could be drawn.</p>",
        bracket=_bracket(result),
        notes=_notes(result),
        words="".join(f"<dt>{_text(k)}</dt><dd>{_text(v)}</dd>" for k, v in WORDS.items()),
        facts=_facts(result),
        plotly=asset("plotly-basic.min.js"),
        script=asset("page.js"),
    )  # fmt: skip


@cache
def asset(name: str) -> str:
    """The text of a file that comes with the page."""
    return resources.files("slalom.report").joinpath("assets", name).read_text("utf-8")


def batches(result: Result) -> str:
    """That steps of some rules see more samples than those of others, where they do."""
    usual = result.meta["batch_size"]
    other = [s for s in result.standings if s.batch != usual]
    if not other:
        return ""
    named = ", ".join(f"{s.rule} {s.batch:,}" for s in other)
    return f"A step sees {usual:,} samples, but of {named}: compare by samples or seconds."


def _buttons(names: tuple[str, ...]) -> str:
    return "".join(
        f'<button type="button" aria-pressed="{str(i == 0).lower()}">{name}</button>'
        for i, name in enumerate(names)
    )


def _key(key: Key) -> str:
    return (
        f'<button type="button" aria-pressed="true" data-rule="{_text(key.rule)}">'
        f"{swatch(key.style)}{_text(key.name)}</button>"
    )


PATTERNS: dict[str, str] = dict(
    zip(DASHES, ("", "6 3", "2 3", "6 3 2 3", "11 4", "11 3 2 3"), strict=True)
)
SHAPES = {
    "circle": "M17 3.5a3.5 3.5 0 1 0 .01 0z", "square": "M13.5 3.5h7v7h-7z",
    "diamond": "M17 2.5l4.5 4.5-4.5 4.5-4.5-4.5z", "triangle-up": "M17 2.5l4.5 8h-9z",
    "cross": "M15.5 2.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
    "pentagon": "M17 2.5l4.5 3.4-1.7 5.1h-5.6l-1.7-5.1z",
    "star": "M17 2l1.3 3.6h3.7l-3 2.3 1.1 3.6-3.1-2.2-3.1 2.2 1.1-3.6-3-2.3h3.7z",
    "hexagon": "M14.8 3.2h4.4l2.3 3.8-2.3 3.8h-4.4l-2.3-3.8z",
    "triangle-down": "M17 11.5l4.5-8h-9z", "triangle-left": "M12.5 7l8-4.5v9z",
    "octagon": "M15.5 2.8h3l2.3 2.3v3.8l-2.3 2.3h-3l-2.3-2.3v-3.8z",
    "triangle-right": "M21.5 7l-8-4.5v9z",
}  # fmt: skip
"""Markers as SVG draws them, around (17, 7)."""


def swatch(style: Style) -> str:
    """A piece of line with its marker, as SVG."""
    dash = f' stroke-dasharray="{PATTERNS[style.dash]}"' if PATTERNS[style.dash] else ""
    return (
        f'<svg class="key" viewBox="0 0 34 14" aria-hidden="true"><path d="M1 7h32" '
        f'stroke="{style.colour}" stroke-width="2.25"{dash}/><path d="{SHAPES[style.marker]}" '
        f'fill="{style.colour}"/></svg>'
    )


def _plot(chart: Chart) -> str:
    caption = _text(chart.caption)
    data = figure(chart).to_json()  # plotly writes "<" so that no text in it can end the script
    return (
        f'<figure id="{chart.name}"><figcaption>{caption}</figcaption>'
        f'<div class="plot" role="application" aria-roledescription="chart" tabindex="0" '
        f'aria-label="{caption}"></div><output aria-live="polite"></output>'
        f'<p class="said">{_text(chart.said)}</p>'
        f'<script type="application/json">{data}</script></figure>'
    )


def _standings(result: Result, looks: dict[str, Style]) -> str:
    heads = [(column.head(result), column.words) for column in columns(result)]
    heads.append(("what it rests on", True))
    kind = {True: "words", False: "number"}
    head = '<th scope="col">place</th><th scope="col">entrant</th>' + "".join(
        f'<th scope="col" class="{kind[words]}">{_text(name)}</th>' for name, words in heads
    )
    rows = []
    for s in result.standings:
        cells = [(column.cell(s), column.words) for column in columns(result)]
        cells.append((evidence(result, s), True))
        values = "".join(f'<td class="{kind[words]}">{_text(v)}</td>' for v, words in cells)
        rows.append(
            f"<tr><td>{s.place}</td><th scope='row'>{swatch(looks[s.rule])}{_text(s.label)}</th>"
            f"{values}</tr>"
        )
    return (
        f'<table class="standings"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'
        "</table>"
    )


def _bracket(result: Result) -> str:
    """Who was stopped in the heats, when and why: a table that opens."""
    found = fates(result)
    if not found:
        return ""
    head = "".join(
        f'<th scope="col">{name}</th>' for name in ("setting", "seed", "steps", "became", "why")
    )
    rows = "".join(
        f"<tr><th scope='row'>{_text(f.label)}</th><td>{f.seed}</td><td>{f.steps:,}</td>"
        f"<td>{_text(str(f.status))}</td><td class='words'>{_text(f.why)}</td></tr>"
        for f in found
    )
    return (
        f"<details><summary>Who was stopped in the heats, when and why: {len(found):,} runs"
        '</summary><div class="scroll" tabindex="0" role="region" aria-label="The heats">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _facts(result: Result) -> str:
    meta = result.meta
    target = "none" if meta["target"] is None else f"{meta['target']:.4g}"
    valid = (
        f"the same {meta['n_valid']:,}" if meta["validates_on_train"] else f"{meta['n_valid']:,}"
    )
    versions = dict(meta["versions"])
    machine = versions.pop("machine", "")
    seeds = {stage: sorted({c.seed for c in result.curves if c.stage == stage})
             for stage in ("heat", "final")}  # fmt: skip
    ended = meta["budget"] is not None
    facts = {
        "task": meta["task"],
        "asked"
        if ended
        else "target": f"{meta['metric']} {'after ' + meta['budget'] if ended else target}",
        "schedule": meta["schedule"] or "constant learning rates",
        "samples": f"{meta['n_train']:,} to train on, {valid} to validate on",
        "batch": f"{meta['batch_size']} samples",
        "model": f"{meta['parameters']:,} parameters",
        "seeds": f"{meta['seed']} for the race; heats {_range(seeds['heat'])}; finals "
        f"{_range(seeds['final'])}",
        "machine": machine,
        "versions": ", ".join(f"{k} {v}" for k, v in versions.items()),
        "raced": meta["created"],
        "again": meta["again"],
    }
    if meta["n_train"] == meta["n_valid"] == 1:  # a loop of the user's own, which does not tell
        del facts["samples"], facts["batch"]
    return "".join(f"<dt>{_text(k)}</dt><dd>{_text(v)}</dd>" for k, v in facts.items())


def _range(numbers: list[int]) -> str:
    """Whole numbers in a few words."""
    if not numbers:
        return "none"
    whole_range = len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1
    return f"{numbers[0]} to {numbers[-1]}" if whole_range else ", ".join(map(str, numbers))


def _notes(result: Result) -> str:
    notes = [
        *result.remarks,
        *(f"{s.label} {s.status}: {s.reason}" for s in result.standings if s.reason),
    ]
    if not notes:
        return ""
    items = "".join(f"<li>{_text(n)}</li>" for n in dict.fromkeys(notes))
    return f"<h2>Notes</h2><ul>{items}</ul>"


def _text(value: object) -> str:
    return html.escape(value if isinstance(value, str) else json.dumps(value))
