"""`python -m nightrank …`"""

from __future__ import annotations

import sys

from nightrank.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
