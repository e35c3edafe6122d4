"""Slalom's race beside tuners: ``race_tuners.py [SEEDS]``; needs optuna and ray[tune]."""

import sys
from pathlib import Path

from slalom.bench.tuners import main

if __name__ == "__main__":
    main(Path(__file__).parent / "bank", *map(int, sys.argv[1:]))
