"""Places for collections: which are the same, and which lie in each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.domain.store_location import normal_place, overlap


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("/srv/a/", "/srv/a"),
        ("/srv/b/../a", "/srv/a"),
        ("file:///srv/a", "/srv/a"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
    ],
)
def test_a_place_has_one_normal_form(text: str, place: str) -> None:
    assert normal_place(text) == place


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert normal_place(str(tmp_path / "link" / "a")) == normal_place(str(tmp_path / "real" / "a"))


@pytest.mark.parametrize(
    "text",
    ["gs://bucket/a", "s3://", "s3:///a", "s3://bucket//a", "s3://bucket/../other", "file://host/a", "https://x/"],
)
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(ValueError, match=r"s3://bucket/prefix|no host"):
        normal_place(text)


@pytest.mark.parametrize(
    ("one", "other", "do"),
    [
        ("/srv/a", "/srv/a", True),
        ("/srv/a", "/srv/a/b", True),
        ("/", "/srv/a", True),
        ("/srv/a", "/srv/ab", False),
        ("s3://b", "s3://b/x", True),
        ("s3://b/x", "s3://b/xy", False),
        ("s3://b/x", "s3://c/x", False),
        ("s3://srv/a", "/srv/a", False),
    ],
)
def test_places_that_lie_in_each_other(one: str, other: str, do: bool) -> None:
    assert overlap(one, other) is do
    assert overlap(other, one) is do
