"""`python -m trajgen` and the `trajgen` command."""

from __future__ import annotations

import sys

from trajgen.cli import main

if __name__ == "__main__":
    sys.exit(main())
