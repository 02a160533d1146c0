"""How help is laid out."""

import argparse


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Line breaks of descriptions are kept, and options have room for their names."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=100)
