"""Hooks of MkDocs: the navigation, and links that leave ``docs/``. They run in an environment with MkDocs only."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

SECTIONS: dict[str, list[str]] = {
    "Tutorial": ["tutorial.md"],
    "How-to": [
        "how-to/import-files.md",
        "how-to/import-from-s3.md",
        "how-to/import-from-pandas.md",
        "how-to/bad-rows.md",
        "bad-rows.md",
        "how-to/nightly-loads.md",
        "write-modes.md",
        "moving.md",
        "events.md",
        "how-to/two-phases.md",
        "how-to/undo-an-import.md",
        "how-to/test-with-pytest.md",
        "how-to/many-tenants.md",
        "how-to/migrate.md",
        "how-to/deploy.md",
        "how-to/sizing.md",
        "how-to/back-up.md",
        "how-to/upgrade.md",
        "how-to/monitor.md",
        "how-to/failures.md",
    ],
    "Reference": [
        "cli.md",
        "settings.md",
        "python.md",
        "endpoints.md",
        "grpc.md",
        "parameters.md",
        "drop-in.md",
        "types.md",
        "formats.md",
        "schema-files.md",
        "bulk-writer.md",
        "sources-and-stores.md",
        "access.md",
        "errors.md",
        "metrics.md",
        "glossary.md",
    ],
    "Explanation": [
        "architecture.md",
        "decisions/0010-exactly-once.md",
        "memory.md",
        "indexes.md",
        "full-text-search.md",
        "postgresql.md",
        "scaling.md",
        "security.md",
        "testing.md",
        "benchmarks.md",
    ],
}
"""Pages by section. One that isn't there is left out; a new one goes to the end of Reference, or of How-to."""

_LINK = re.compile(r"(\]\()((?:\.\./)+[^)#\s]+)(#[^)\s]*)?(\))")


def navigation(docs: Path) -> list[dict[str, Any]]:
    """The navigation for the pages of a folder: each page is in it once."""
    pages = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")} - {"index.md"}
    placed = {name for names in SECTIONS.values() for name in names}
    left = sorted(pages - placed)
    sections: dict[str, list[Any]] = {
        title: [name for name in names if name in pages] for title, names in SECTIONS.items()
    }
    sections["How-to"] += [name for name in left if name.startswith("how-to/")]
    sections["Decisions"] = [name for name in left if name.startswith("decisions/")]
    sections["Reference"] += [name for name in left if "/" not in name]
    return [{"Penstock": "index.md"}, *({title: names} for title, names in sections.items())]


def on_config(config: Any) -> Any:
    config.nav = navigation(Path(config.docs_dir))
    return config


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Point links that leave the folder of the documentation to the source."""
    del files
    here = posixpath.dirname(page.file.src_uri)

    def moved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(here, link[2]))
        if not target.startswith("../"):
            return link[0]
        return f"{link[1]}{config.extra['source_url']}/{target.removeprefix('../')}{link[3] or ''}{link[4]}"

    return _LINK.sub(moved, markdown)
