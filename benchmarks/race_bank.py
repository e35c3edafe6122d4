"""The recorded runs that races are judged on.

``race_bank.py [TASK ...]`` records what is not there yet, of all tasks or of those named; it may be
ended at any time and goes on where it stopped. ``race_bank.py --show [TASK ...]`` prints a table.
"""

import sys
from pathlib import Path

from slalom.bench.kinds import show
from slalom.bench.record import record

if __name__ == "__main__":
    folder, names = Path(__file__).parent / "bank", sys.argv[1:]
    if "--show" in names:
        show(folder, [name for name in names if name != "--show"])
    else:
        record(folder, names)
