"""What a race's search costs and what its choice is worth, replayed from ``benchmarks/bank``."""

from pathlib import Path

from slalom.bench.race import main

if __name__ == "__main__":
    main(Path(__file__).parent / "bank")
