"""What states and parameters of fewer bits save and take."""

from slalom.bench.states import main

if __name__ == "__main__":
    main()
