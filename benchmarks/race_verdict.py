"""How often a race's verdict errs, over races replayed from what ``benchmarks/bank`` recorded."""

from pathlib import Path

from slalom.bench.verdict import main

if __name__ == "__main__":
    main(Path(__file__).parent / "bank")
