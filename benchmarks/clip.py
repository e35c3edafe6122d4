"""The same as ``slalom bench clip``."""

from slalom.bench.clip import main

if __name__ == "__main__":
    main()
