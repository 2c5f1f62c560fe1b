"""``python -m shiftfix``: the command line, also where its script is not on the path."""

from shiftfix.cli import main

if __name__ == "__main__":
    main()
