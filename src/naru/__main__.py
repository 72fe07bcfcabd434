"""``python -m naru``: the command of ``naru.cli``."""

from naru.cli import main

if __name__ == "__main__":  # not where a process of several begins
    main(prog_name="naru")
