"""How often a race's verdict errs, and finds: ``race_verdict.py [SIMULATIONS [WORKERS]]``.

The finals' judge on drawn runs, with a picture (needs matplotlib, of ``slalom[bench]``), then
finals of what the tasks of ``benchmarks/bank`` need: both are written into docs/verdict.md.
"""

import sys
from pathlib import Path

from slalom.bench import characteristics, verdict

if __name__ == "__main__":
    here = Path(__file__).parent
    docs = here.parent / "docs"
    characteristics.main(docs, *map(int, sys.argv[1:]))
    page = docs / "verdict.md"
    page.write_text(f"{page.read_text()}\n{verdict.main(here / 'bank')}")
