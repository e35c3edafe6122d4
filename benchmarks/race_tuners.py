"""Slalom's race beside tuners: ``race_tuners.py [SEEDS]``; needs ``slalom[bench]``."""

import sys
from pathlib import Path

from slalom.bench.tuners import main

if __name__ == "__main__":
    main(Path(__file__).parent / "bank", *map(int, sys.argv[1:]))
