"""Every input that fuzzing has found worth keeping, once more: each either passes or is refused as promised.

``make fuzz`` looks for new ones. An input that has broken a target belongs into its corpus, with the repair.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import TARGETS

CORPORA = Path(__file__).parent / "corpora"


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_of_a_corpus_breaks_its_target(name: str) -> None:
    inputs = [*SEEDS[name], *(path.read_bytes() for path in sorted((CORPORA / name).iterdir()))]
    assert len(inputs) > len(list(SEEDS[name]))
    for content in inputs:
        TARGETS[name].run(content)


def test_corpora_are_small() -> None:
    sizes = {folder.name: sum(path.stat().st_size for path in folder.iterdir()) for folder in CORPORA.iterdir()}
    assert set(sizes) == set(TARGETS)
    assert sum(sizes.values()) < 1 << 20
