"""Pages in a real browser: what a script finds there, what axe says, what colours stand out."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needed = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


def chromium(tmp_path, url: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """The browser, shown the page at ``url``."""
    assert CHROMIUM is not None
    return subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr",
            "--virtual-time-budget=10000", *flags, url,
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def asked(path: Path, tmp_path: Path, script: str, *flags: str) -> Any:
    """What a script, put at the end of the page, gives to ``tell`` after the page is drawn."""
    told = (
        f"<script>function tell(x) {{ document.title = JSON.stringify(x); }}"
        f"setTimeout(async () => {{ {script} }}, 3000)</script></body>"
    )
    path.write_text(path.read_text().replace("</body>", told))
    done = chromium(tmp_path, path.as_uri(), "--dump-dom", "--allow-file-access-from-files", *flags)
    found = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert found, done.stderr[-500:]
    return json.loads(html.unescape(found[1]))


LOOK_THROUGH = """
const frames = Array.from(document.querySelectorAll('iframe'));
const found = [];
for (const frame of frames) {
  const inner = frame.contentWindow;
  const ran = await inner.axe.run(inner.document);
  for (const v of ran.violations) { found.push([frame.width, v.id, v.nodes[0].html]); }
  if (!ran.passes.length) { found.push('axe did not run'); }
  const root = inner.document.documentElement;
  if (root.scrollWidth > Number(frame.width)) { found.push([frame.width, 'sideways']); }
  for (const one of inner.document.querySelectorAll('*')) { // what scrolls shows that it does
    const style = inner.getComputedStyle(one);
    if (/auto|scroll/.test(style.overflowX) && one.scrollWidth > one.clientWidth
      && !style.backgroundAttachment.includes('local')) {
      found.push([frame.width, 'no sign', one.outerHTML.slice(0, 80)]);
    }
  }
  if (inner.document.querySelectorAll('SELECTOR').length < LEAST) { found.push('no charts'); }
  if (inner.matchMedia('(prefers-color-scheme: dark)').matches !== DARK) { found.push('light'); }
}
tell(found);
"""


def faults(page: Path, tmp_path: Path, *, dark: bool, drawn: tuple[str, int]) -> list[Any]:
    """What axe finds, and what scrolls sideways, on a large screen and on a telephone's.

    ``drawn`` is a selector, and how many of it there must be at least.
    """
    axe = (Path(__file__).parent / "report" / "axe" / "axe.min.js").read_text()
    page.write_text(page.read_text().replace("</main>", f"</main><script>{axe}</script>"))
    outer = tmp_path / "outer.html"  # a headless window cannot be narrower than 500
    outer.write_text("<html><body>" + "".join(
        f'<iframe src="{page.name}" width="{width}" height="900" style="border:0"></iframe>'
        for width in (1280, 390)
    ) + "</body></html>")  # fmt: skip
    flags = ["--window-size=1800,1000"]
    flags += ["--blink-settings=preferredColorScheme=0"] if dark else []
    script = LOOK_THROUGH.replace("DARK", str(dark).lower())
    script = script.replace("SELECTOR", drawn[0]).replace("LEAST", str(drawn[1]))
    return asked(outer, tmp_path, script, *flags)


def luminance(colour: str) -> float:
    """The relative luminance of WCAG 2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """The contrast of two colours by WCAG 2, from 1 on."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
