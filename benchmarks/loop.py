"""Whole training steps with each optimizer, side by side."""

from slalom.bench.loop import main

if __name__ == "__main__":
    main()
