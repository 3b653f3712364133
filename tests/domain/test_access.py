"""Roles and grants."""

from __future__ import annotations

import pytest

from penstock.domain.access import ANONYMOUS, Caller, Grant, Role
from penstock.domain.collections import Cluster
from penstock.errors import PermissionDenied

OURS = Cluster(id="in01-ours", org_id="org-ours", region="local", name="ours")
THEIRS = Cluster(id="in01-theirs", org_id="org-theirs", region="local", name="theirs")


def caller(*grants: Grant) -> Caller:
    return Caller(name="ann", org_id="org-ours", grants=grants)


def test_a_role_includes_those_below_it() -> None:
    writer = caller(Grant(role=Role.WRITER))
    assert writer.may(Role.READER, OURS, "default")
    assert writer.may(Role.WRITER, OURS)
    assert not writer.may(Role.ADMIN, OURS)


def test_a_role_in_every_cluster_ends_at_the_org() -> None:
    assert not caller(Grant(role=Role.ADMIN)).may(Role.READER, THEIRS)
    # Not even a grant that names the cluster of another org helps.
    assert not caller(Grant(role=Role.ADMIN, cluster_id=THEIRS.id)).may(Role.READER, THEIRS)


def test_a_role_in_one_database() -> None:
    reader = caller(Grant(role=Role.READER, cluster_id=OURS.id, database="sales"))
    assert reader.may(Role.READER, OURS, "sales")
    assert not reader.may(Role.READER, OURS, "default")
    assert not reader.may(Role.READER, OURS)
    assert reader.databases(Role.READER, OURS) == frozenset({"sales"})
    assert reader.databases(Role.WRITER, OURS) == frozenset()
    assert reader.databases(Role.READER, THEIRS) == frozenset()
    assert caller(Grant(role=Role.READER)).databases(Role.READER, OURS) is None


def test_a_denial_says_what_is_wanted_where() -> None:
    with pytest.raises(PermissionDenied, match="ann needs the role writer in the database sales of the cluster"):
        caller(Grant(role=Role.READER)).require(Role.WRITER, OURS, "sales")
    with pytest.raises(PermissionDenied) as denied:  # gRPC sends the text as a header, which has a limit
        caller().require(Role.READER, OURS, "x" * 100_000)
    assert len(str(denied.value)) < 400


def test_the_home_of_calls_that_name_no_cluster() -> None:
    one = Grant(role=Role.READER, cluster_id=OURS.id)
    assert caller(one).home("in01-local") == OURS.id
    assert caller(one, Grant(role=Role.READER, cluster_id="in01-more")).home("in01-local") == "in01-local"
    assert caller(Grant(role=Role.READER)).home("in01-local") == "in01-local"


def test_anybody_may_do_everything() -> None:
    assert ANONYMOUS.may(Role.ADMIN, OURS)
    assert ANONYMOUS.may(Role.ADMIN, THEIRS)
    assert ANONYMOUS.is_anybody
