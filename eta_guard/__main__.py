"""``python -m eta_guard``: the command line, where its script is not on the path."""

from __future__ import annotations

import sys

from eta_guard.cli import main

if __name__ == "__main__":
    sys.exit(main())
