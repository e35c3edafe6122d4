"""What training loses by fewer bits, with bounds; goes on where it was ended."""

from slalom.bench.bits import main

if __name__ == "__main__":
    main()
