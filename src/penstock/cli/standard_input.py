"""Options and files that may come from the standard input, as ``-``."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click


def text_or_stdin(context: click.Context, _option: click.Parameter, value: str) -> str:
    """Return the text of an option, or that of the standard input for ``-``."""
    if context.resilient_parsing:  # a shell asks for completions: the standard input is its user's
        return value
    return stdin_text().strip() if value == "-" else value


def stdin_text() -> str:
    """Read the text of the standard input. Raises click.UsageError: its bytes are not text."""
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"The standard input is not text in {sys.stdin.encoding}: {error.reason}.") from None


@contextmanager
def files_or_stdin(paths: Sequence[str], suffix: str) -> Iterator[Sequence[str]]:
    """Yield the paths; ``-`` among them is a temporary file with the content of the standard input."""
    if "-" not in paths:
        yield paths
        return
    if paths.count("-") > 1:
        raise click.UsageError("The standard input (-) can be read once only.")
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        spooled = Path(folder) / f"stdin.{suffix}"
        with spooled.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield [str(spooled) if path == "-" else path for path in paths]
