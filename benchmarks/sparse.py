"""The same as ``slalom bench sparse``."""

from slalom.bench.sparse import main

if __name__ == "__main__":
    main()
