"""What the field says of its methods, measured: ``claims.py [--quick] [NAME ...]``.

Writes docs/claims.md from what it finds, which it keeps beside this file, so that it goes on where
it was interrupted. Claims that are named are measured again. ``--quick`` measures roughly, and
prints alone.
"""

import sys
import tempfile
from pathlib import Path

from slalom.bench.measured import main

if __name__ == "__main__":
    here, names = Path(__file__).parent, [a for a in sys.argv[1:] if a != "--quick"]
    if len(names) < len(sys.argv) - 1:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder, "claims.json"), Path(folder, "claims.md"), names, quick=True)
    else:
        main(here / "claims.json", here.parent / "docs" / "claims.md", names)
