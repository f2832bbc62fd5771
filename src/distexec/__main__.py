"""``python -m distexec``: the `distexec` command, where the script itself is not on PATH."""

from distexec.cli import main

if __name__ == "__main__":
    main()
