"""Progress of index builds, as a share of the whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lance.progress import IndexProgress

Progress = Callable[[float], None]
"""Called with a share from 0 to 1 that never falls."""

_STAGES: Mapping[str, tuple[float, float]] = {
    "train_ivf": (0.0, 0.2),
    "train_quantizer": (0.2, 0.4),
    "shuffle": (0.4, 0.7),
    "merge_partitions": (0.7, 1.0),
}
"""Where Lance's stages of a vector index begin and end, roughly; a stage that isn't listed reports nothing."""


class Steps:
    """Progress of several builds in a row; build ``i`` is ``weights[i]`` of the whole."""

    def __init__(self, tell: Progress, weights: list[float]) -> None:
        self._callback = tell
        self._total = sum(weights) or 1.0
        self._weights = weights
        self._before = 0.0
        self._reported = 0.0
        self._place = -1

    def begin(self) -> None:
        """Begin the next build; the one before it has ended."""
        if self._place >= 0:
            self._before += self._weights[self._place]
        self._place += 1
        self._report(0.0)

    def update(self, event: IndexProgress) -> None:
        """Report the progress in one of Lance's events."""
        stage = _STAGES.get(event.stage)
        if stage is not None:
            begin, end = stage
            done = 1.0 if event.event == "complete" else event.fraction or 0.0
            self._report(begin + (end - begin) * done)

    def _report(self, share: float) -> None:
        now = (self._before + self._weights[self._place] * share) / self._total
        if now > self._reported:
            self._reported = now
            self._callback(now)
