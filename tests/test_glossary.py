"""The words that docs/glossary.md has retired don't come back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "penstock"
GLOSSARY = ROOT / "docs" / "glossary.md"

RENAMES = SOURCE / "settings" / "renamed.py"
"""Names the old settings, commands and options, to refuse them."""


def terms() -> list[tuple[str, str, list[str]]]:
    """The glossary's rows: term, meaning, retired words."""
    rows = []
    for line in GLOSSARY.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" |")]
        if line.startswith("| ") and len(cells) == 3 and cells[0] not in ("Term", "---"):
            rows.append((cells[0], cells[1], re.findall(r"`([^`]+)`", cells[2])))
    return rows


RETIRED = {word for _, _, words in terms() for word in words}
FILES = {word for word in RETIRED if word.endswith(".py")}
TEXTS = {word for word in RETIRED - FILES if re.search(r"[.-]|^penstock_", word)}
"""Log events, options and metrics: texts in the code."""
NAMES = RETIRED - FILES - TEXTS


def is_retired(name: str) -> bool:
    """Words in lower case are retired as a part of a name too: ``upkeep`` also in ``upkeep_task``."""
    bare = name.strip("_")
    return bare in NAMES or bool(NAMES & set(bare.lower().split("_")))


def names_in(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                yield name, node.lineno
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield name, node.lineno
            case ast.alias(name=module, asname=name):
                yield name or module.rpartition(".")[2], node.lineno


def test_the_glossary_has_its_terms() -> None:
    names = [name for name, _, _ in terms()]
    assert len(names) >= 60
    assert len(names) == len(set(names))
    assert all(meaning.endswith(".") for _, meaning, _ in terms())
    assert {"retry", "lease", "group commit", "split", "boundary scan"} <= set(names)


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_retired_word_is_in_use(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [f"{path.name}:{line}: {name}" for name, line in names_in(tree) if is_retired(name)]
    texts = [
        f"{path.name}:{node.lineno}: {node.value}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in TEXTS and path != RENAMES
    ]
    assert names + texts == []
    assert path.name not in FILES


def undotted_events(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Log events that are not words joined by dots, ``subject.what_happened``."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(
                    value=ast.Name(id=logger) | ast.Attribute(attr=logger),
                    attr="debug" | "info" | "warning" | "error" | "exception",
                ),
                args=[event, *_],
            ) if logger.endswith("log"):
                text = event.value if isinstance(event, ast.Constant) else ast.unparse(event)
                if not re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", str(text)):
                    yield str(text), node.lineno


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_log_events_are_dotted(path: Path) -> None:
    assert [*undotted_events(ast.parse(path.read_text(encoding="utf-8")))] == []


def test_an_undotted_event_is_noticed() -> None:
    tree = ast.parse('_log.info("stopped", url=url)\nself._log.error("job.failed")\nlog.warning(f"{what}.failed")')
    assert [text for text, _ in undotted_events(tree)] == ["stopped", "f'{what}.failed'"]


def test_a_retired_word_is_noticed() -> None:
    tree = ast.parse("def keep_up(upkeep_task): return SourceKeys(Pace=1)")
    assert sorted(name for name, _ in names_in(tree) if is_retired(name)) == ["Pace", "SourceKeys", "upkeep_task"]
