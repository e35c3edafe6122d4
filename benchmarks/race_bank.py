"""Record the curves that ``benchmarks/race_cost.py`` replays: ``race_bank.py [TASK ...]``."""

import sys
from pathlib import Path

from slalom.bench.race import record
from slalom.tasks import TASKS

if __name__ == "__main__":
    record(Path(__file__).parent / "bank", sys.argv[1:] or TASKS)
