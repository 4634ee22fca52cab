"""``python -m dfrestore`` is the command ``dfrestore``."""

from __future__ import annotations

import sys

from dfrestore.cli import main

if __name__ == "__main__":
    sys.exit(main())
