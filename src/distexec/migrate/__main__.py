"""``python -m distexec.migrate``."""

import sys

from distexec.migrate.cli import main

if __name__ == "__main__":
    sys.exit(main())
