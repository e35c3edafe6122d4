"""``python -m slalom``, and the command ``slalom``."""

from __future__ import annotations

import os
import signal


def main() -> None:
    """Run the command.

    Ctrl-C while torch is imported, before anything is begun, ends it at once and without a word:
    what an exception leaves half imported fails in other words than it was interrupted by.
    """
    plain = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if plain:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    import torch  # noqa: F401

    from slalom.cli import main as run

    if plain:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()
