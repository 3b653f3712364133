"""The table of rules per target."""

from __future__ import annotations

import pytest

from penstock.domain.check_report import Severity
from penstock.errors import InvalidParameter
from penstock.targets.rule import Target, target_named
from penstock.targets.table import FIXED_SIZE_LIST, LARGE_STRING, RULES, UNKNOWN_COLUMN


def test_ids_are_unique_and_ascend() -> None:
    ids = [rule.id for rule in RULES]
    assert ids == sorted(set(ids))
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_holds_for_a_target_and_says_what_to_do(rule) -> None:  # type: ignore[no-untyped-def]
    assert rule.targets
    assert not rule.refused & rule.late
    for sentence in (rule.summary, rule.remedy):
        assert sentence.endswith(".")


def test_the_severity_depends_on_the_target() -> None:
    assert FIXED_SIZE_LIST.severity([Target.MILVUS_2_5]) is Severity.ERROR
    assert FIXED_SIZE_LIST.severity([Target.MILVUS_2_6]) is Severity.WARNING
    assert FIXED_SIZE_LIST.severity([Target.MILVUS_3_0]) is None
    assert UNKNOWN_COLUMN.severity([Target.MILVUS_3_0]) is Severity.WARNING
    assert UNKNOWN_COLUMN.severity(list(Target)) is Severity.ERROR


def test_a_finding_names_the_targets_that_it_is_for() -> None:
    finding = LARGE_STRING.finding([Target.MILVUS_2_6, Target.ZILLIZ], "the column is large_string")
    assert finding is not None
    assert finding.message == "the column is large_string (refused by Milvus 2.6, Zilliz Cloud)"
    assert FIXED_SIZE_LIST.finding([Target.MILVUS_3_0], "") is None


def test_targets_are_named_as_on_the_command_line() -> None:
    assert target_named("Zilliz") is Target.ZILLIZ
    assert target_named("milvus") is Target.MILVUS_3_0
    with pytest.raises(InvalidParameter, match=r"milvus-2\.4, .*zilliz"):
        target_named("milvus-1.0")
