"""Targets, the rules that hold for them, and the findings of a check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from penstock.domain.check_report import Severity
from penstock.errors import InvalidParameter


class Target(StrEnum):
    """A server that files are meant for; a version of Milvus covers all of its patch releases."""

    MILVUS_2_4 = "milvus-2.4"
    MILVUS_2_5 = "milvus-2.5"
    MILVUS_2_6 = "milvus-2.6"
    MILVUS_3_0 = "milvus-3.0"
    ZILLIZ = "zilliz"

    @property
    def label(self) -> str:
        return "Zilliz Cloud" if self is Target.ZILLIZ else f"Milvus {self.value.removeprefix('milvus-')}"


ALL = frozenset(Target)
MILVUS = ALL - {Target.ZILLIZ}


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRule:
    """A rule of other servers.

    ``refused``: the targets that refuse such a file or read it wrongly. ``late``: those whose later patch releases
    take it. ``warned``: those that take it, but otherwise than this server does. ``summary`` says what is refused,
    ``remedy`` what to do; both are whole sentences.
    """

    id: str
    name: str
    summary: str
    remedy: str
    refused: frozenset[Target] = frozenset()
    late: frozenset[Target] = frozenset()
    warned: frozenset[Target] = frozenset()

    @property
    def targets(self) -> frozenset[Target]:
        return self.refused | self.late | self.warned

    def severity(self, targets: Sequence[Target]) -> Severity | None:
        """The worst severity for some targets; None if the rule holds for none of them."""
        if self.refused.intersection(targets):
            return Severity.ERROR
        return Severity.WARNING if self.targets.intersection(targets) else None

    def finding(
        self,
        targets: Sequence[Target],
        message: str,
        *,
        file: str | None = None,
        row: int | None = None,
        offset: int | None = None,
        field: str | None = None,
        value: str | None = None,
    ) -> Finding | None:
        """The finding for those of ``targets`` that the rule holds for; None without one."""
        if not self.targets.intersection(targets):
            return None
        return Finding(
            rule=self.id,
            message=f"{message} ({self._whom(targets)})",
            file=file,
            row=row,
            offset=offset,
            field=field,
            value=value,
        )

    def _whom(self, targets: Sequence[Target]) -> str:
        def names(of: frozenset[Target]) -> str:
            return ", ".join(target.label for target in targets if target in of)

        parts = [
            f"{word} {text}"
            for word, text in (
                ("refused by", names(self.refused)),
                ("needs a late release of", names(self.late - self.refused)),
                ("concerns", names(self.warned - self.refused - self.late)),
            )
            if text
        ]
        return "; ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One place in which a rule is broken: the ``id`` of the rule, and what is known of the place."""

    rule: str
    message: str
    file: str | None = None
    row: int | None = None
    offset: int | None = None
    field: str | None = None
    value: str | None = None


_LATEST: Mapping[str, Target] = {"milvus": Target.MILVUS_3_0}


def target_named(name: str) -> Target:
    """Return the target of a name such as ``milvus-2.6``; ``milvus`` alone is its latest version.

    Raises:
        InvalidParameter: there is no such target.
    """
    text = name.strip().lower()
    try:
        return _LATEST.get(text) or Target(text)
    except ValueError:
        known = ", ".join(target.value for target in Target)
        raise InvalidParameter(f"there are no rules for the target {name!r}. Targets: {known}", target=name) from None
