"""One step of every rule against torch's; the same as ``slalom bench steps``."""

from slalom.bench.steps import main

if __name__ == "__main__":
    main()
