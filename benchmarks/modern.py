"""What has been proposed in AdamW's place, equally tuned."""

from slalom.bench.modern import main

if __name__ == "__main__":
    main()
