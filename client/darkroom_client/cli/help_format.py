"""How the help of a command looks: paragraphs that fit the terminal, and examples as they are."""

from argparse import HelpFormatter
from textwrap import fill


class ParagraphFormatter(HelpFormatter):
    """Fills paragraphs. Lists, whose lines are indented, stay as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = (each.strip("\n") for each in text.split("\n\n"))
        return "\n\n".join(
            each if "\n " in each else fill(each, width, initial_indent=indent, subsequent_indent=indent)
            for each in paragraphs
        )


def examples(*commands: str) -> str:
    return "\n".join(["examples:", *(f"  {each}" for each in commands)])
