"""``python -m naru``: the command of ``naru.cli``."""

from naru.cli import main

main(prog_name="naru")
