"""The page of a race: one HTML file that needs nothing else, not even a network."""

from __future__ import annotations

import html
import json
from importlib import resources
from pathlib import Path
from string import Template

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from slalom.errors import InputError
from slalom.racing.result import Result
from slalom.report import figures
from slalom.report.table import COLUMNS, bill
from slalom.train.atomic import whole


def write(result: Result, path: Path) -> Path:
    """Write the page of a result to ``path``, whole or not at all; returns the path.

    Raises :class:`InputError` if nothing can be written there.
    """
    content = page(result).encode()
    try:
        with whole(path) as file:
            file.write(content)
    except OSError as error:
        raise InputError(f"the page {path} cannot be written: {error.strerror}") from error
    return path


def page(result: Result) -> str:
    """The page as HTML."""
    meta = result.meta
    template = Template(resources.files("slalom.report").joinpath("page.html").read_text())
    winner = result.winner
    return template.substitute(
        title=_text(f"{meta['task']}: {winner.label if winner else 'no winner'}"),
        task=_text(meta["task"]),
        verdict=_text(result.verdict.text),
        snippet=(
            f'<pre aria-label="The winner in Python"><code>{_text(winner.snippet())}</code></pre>'
            if winner
            else ""
        ),
        standings=_standings(result),
        facts=_facts(result),
        notes=_notes(result),
        bill=_text(bill(result)),
        plots="\n".join(_plot(title, figure) for title, figure in figures.captioned(result)),
        axes="".join(f'<button type="button">{name}</button>' for name in figures.AXES),
        plotly=get_plotlyjs(),
    )


def _plot(title: str, figure: go.Figure) -> str:
    figure.update_layout(
        template="none", height=360, margin={"l": 56, "r": 12, "t": 12, "b": 48},
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )  # fmt: skip
    caption = _text(title)
    data = figure.to_json()  # plotly writes "<" so that no text in it can end the script
    return (
        f'<figure><figcaption>{caption}</figcaption><div class="plot" role="img" '
        f'aria-label="{caption}"></div><script type="application/json">{data}</script></figure>'
    )


def _standings(result: Result) -> str:
    palette = figures.colours(result)
    kinds = ["words" if column.words else "number" for column in COLUMNS]
    head = '<th scope="col"></th><th scope="col">entrant</th>' + "".join(
        f'<th scope="col" class="{kind}">{_text(column.head(result))}</th>'
        for kind, column in zip(kinds, COLUMNS, strict=True)
    )
    rows = []
    for s in result.standings:
        dot = f'<span class="dot" style="background:{palette[s.rule]}"></span>'
        values = "".join(
            f'<td class="{kind}">{_text(column.cell(s))}</td>'
            for kind, column in zip(kinds, COLUMNS, strict=True)
        )
        rows.append(
            f"<tr><td>{s.place}</td><th scope='row'>{dot}{_text(s.label)}</th>{values}</tr>"
        )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _facts(result: Result) -> str:
    meta = result.meta
    target = "none" if meta["target"] is None else f"{meta['target']:.4g}"
    valid = (
        f"the same {meta['n_valid']:,}" if meta["validates_on_train"] else f"{meta['n_valid']:,}"
    )
    facts = {
        "task": meta["task"],
        "target": f"{meta['metric']} {target}",
        "samples": f"{meta['n_train']:,} to train on, {valid} to validate on",
        "batch": f"{meta['batch_size']} samples",
        "model": f"{meta['parameters']:,} parameters",
        "seed": meta["seed"],
        "raced": meta["created"],
        "versions": ", ".join(f"{k} {v}" for k, v in meta["versions"].items()),
        "again": meta["again"],
    }
    return "".join(f"<dt>{_text(k)}</dt><dd>{_text(v)}</dd>" for k, v in facts.items())


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
