"""The audit of dependencies finds what it is for, and nothing in this repository."""

from __future__ import annotations

import pytest

from tests.support.dependencies import audit, not_as_locked, not_free, read_lock, unmet

HASH = "--hash=sha256:" + "a" * 64


def test_this_repository() -> None:
    assert audit() == []


def test_a_lock_file_is_read() -> None:
    first = f"Some.Name==1.0 ; python_version > '3' \\\n    {HASH} \\\n    {HASH}\n    # via x\n"
    text = f"# made\n{first}b==2 \\\n    {HASH}\n"
    assert read_lock(text) == {"some-name": "1.0", "b": "2"}


@pytest.mark.parametrize(
    "line",
    [
        "a>=1 " + HASH,
        "a==1",
        "a==1 --hash=md5:" + "a" * 32,
        "a==1 --hash=sha256:abc",
        "a @ https://example.com/a.whl " + HASH,
        "-e .",
        "--find-links wheels",
        "--extra-index-url https://example.com",
    ],
)
def test_a_line_that_pins_nothing_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"isn't a version with hashes|has no hash"):
        read_lock(f"b==1 {HASH}\n{line}\n")


def test_what_is_asked_for_must_be_locked() -> None:
    pins = {"a": "1.5", "b-c": "2"}
    assert list(unmet(["A>=1,<2", "b_c", "d; python_version < '3'"], pins)) == []
    assert list(unmet(["a>=2", "d"], pins)) == [
        "a>=2 is asked for, the lock has 1.5",
        "d is asked for, the lock has none of it",
    ]


def test_what_is_installed_must_be_locked() -> None:
    told = list(not_as_locked({}))
    assert any(each.startswith("pytest ") for each in told)
    assert not any(each.startswith("penstock-import ") for each in told)


def test_a_licence_that_binds_others_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(not_free(["numpy", "sqlalchemy"])) == []
    monkeypatch.setattr("tests.support.dependencies._READ_BY_HAND", {"numpy": "AGPL-3.0", "markupsafe": ""})
    assert [each.split()[0] for each in not_free(["numpy", "sqlalchemy", "jinja2"])] == ["numpy"]
