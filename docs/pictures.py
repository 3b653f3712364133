"""``python -m docs.pictures``: run the tutorial and draw what its commands print, as ``docs/pictures/*.svg``."""

from __future__ import annotations

import io
import re
import socket
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from tests.support.pages import read_blocks, run_page

__all__: list[str] = []

FOLDER = Path(__file__).parent
_PICTURE = re.compile(r"!\[[^\]]*\]\(pictures/([\w-]+)\.svg\)")
_WIDTH = 120
# Without the web fonts of Rich's own form: a page asks no other host for anything.
_FORMAT = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
<rect width="100%" height="100%" rx="8" fill="#1c1c22"/>
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g>
</g>
</svg>
"""


def main() -> None:
    page = FOLDER / "tutorial.md"
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        probe.close()
        home = Path(folder).resolve()
        printed = run_page(page, home, port, Path(sys.executable).parent, {"COLUMNS": str(_WIDTH)})
        printed = {line: text.replace(str(home), "/home/you") for line, text in printed.items()}
    lines = page.read_text(encoding="utf-8").splitlines()
    blocks = {block.line: block for block in read_blocks(page)}
    for number, line in enumerate(lines, 1):
        picture = _PICTURE.match(line)
        if picture is None:
            continue
        block = blocks[max(first for first in printed if first < number)]
        console = Console(record=True, width=_WIDTH, file=io.StringIO(), highlight=False)
        for command in block.text.splitlines():
            console.print(f"$ {command}", style="bold green", markup=False)
        console.print(printed[block.line].rstrip(), markup=False)
        svg = console.export_svg(theme=MONOKAI, code_format=_FORMAT, unique_id=picture[1])
        (FOLDER / "pictures" / f"{picture[1]}.svg").write_text(svg, encoding="utf-8")
        print(f"docs/pictures/{picture[1]}.svg")


if __name__ == "__main__":
    main()
