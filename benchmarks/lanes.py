"""What lanes are worth: ``lanes.py [TASK ...] [--lanes N] [--seeds N]``."""

from slalom.bench.lanes import main

if __name__ == "__main__":
    main()
