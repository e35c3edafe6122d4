"""How often a race with a budget errs, and finds: ``race_budget.py [SIMULATIONS [WORKERS]]``.

The judge on drawn scores, and whole races replayed from ``benchmarks/bank``, by each kind of search
(TPE needs optuna); some minutes. docs/schedules.md has what it printed.
"""

import sys
from pathlib import Path

from slalom.bench.budgets import main

if __name__ == "__main__":
    main(Path(__file__).parent / "bank", *map(int, sys.argv[1:]))
