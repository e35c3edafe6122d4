"""The same as ``slalom bench load``."""

from slalom.bench.load import main

if __name__ == "__main__":
    main()
