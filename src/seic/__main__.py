"""`python -m seic`: the same as the command `seic`."""

from __future__ import annotations

import sys

from seic.cli import main

if __name__ == "__main__":
    sys.exit(main())
