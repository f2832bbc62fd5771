"""``python -m distexec.migrate``."""

import sys

if __name__ == "__main__":
    try:
        from distexec.migrate.cli import main

        sys.exit(main())
    except KeyboardInterrupt:
        # Before there was anything to interrupt.
        sys.exit(130)
