"""How often a race's verdict errs, and finds: ``race_verdict.py [SIMULATIONS [WORKERS]]``.

First the finals' judge on drawn runs, which writes docs/verdict.md and its picture (some minutes;
needs matplotlib, of ``slalom[bench]``); then whole races, replayed from ``benchmarks/bank``.
"""

import sys
from pathlib import Path

from slalom.bench import characteristics, verdict

if __name__ == "__main__":
    here = Path(__file__).parent
    characteristics.main(here.parent / "docs", *map(int, sys.argv[1:]))
    verdict.main(here / "bank")
