"""Orgs are found by their ids and names."""

from __future__ import annotations

from penstock.catalog import Catalog
from penstock.domain.quotas import Quota


def test_an_org_with_the_id_of_another_as_its_name_is_not_taken_for_it(catalog: Catalog) -> None:
    catalog.orgs.ensure("default")
    other = catalog.orgs.ensure("org-default")
    catalog.quotas.set("org-default", Quota(jobs=7))  # PostgreSQL finds a row that was written last at the end
    assert catalog.orgs.get("org-default").name == catalog.orgs.ensure("default").name == "default"
    assert catalog.orgs.get(other.id).name == "org-default"
