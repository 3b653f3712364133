"""How the programs of the contenders talk to the one that measures: a line in, a line of JSON out, step by step.

The programs run in environments of their own, so they import the standard library, NumPy, PyArrow and what they
measure. The clock stands outside: it starts when a step is asked for and stops at its answer.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Order", "read_order", "serve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to load. ``data`` and ``warm`` are files of one format; ``warm`` has a few rows, to warm up with.

    For NumPy they are folders with ``id.npy`` and ``vector.npy``. ``folder`` is an empty one to work in;
    ``partitions`` is the number of lists that an index gets; ``extra`` is for one contender only.

    With ``queries``, a NumPy file, rows are searched afterwards, with filters that so many ``percents`` of them
    match: tables get a third column, ``percent``, and the index is each one's default for the ``metric`` (L2 or
    COSINE), or the ``index``, in the contender's own terms. Each kind of search takes so many ``seconds`` at most.
    """

    data: Path
    warm: Path
    format: str
    rows: int
    dim: int
    folder: Path
    partitions: int
    extra: Mapping[str, Any]
    queries: Path | None = None
    percents: Sequence[int] = ()
    metric: str = "L2"
    index: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0

    def to_json(self) -> str:
        given = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return json.dumps(given, default=str)


def read_order() -> Order:
    """The order on the command line."""
    given = json.loads(sys.argv[1])
    paths = {name: Path(given[name]) for name in ("data", "warm", "folder")}
    if given["queries"] is not None:
        paths["queries"] = Path(given["queries"])
    return Order(**(given | paths))


def serve(steps: Mapping[str, Callable[[], Mapping[str, Any]]]) -> None:
    """Say that all is ready, then run each step that a line of standard input names, until that ends.

    What libraries print goes to standard error.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(dict(steps[line.strip()]())), file=answers, flush=True)
