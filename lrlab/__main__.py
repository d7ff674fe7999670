"""`python -m lrlab` and the `lrlab` command."""

import sys

from lrlab.cli import main

if __name__ == "__main__":
    sys.exit(main())
