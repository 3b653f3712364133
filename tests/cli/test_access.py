"""``penstock keys``, ``users`` and ``clusters``: on the data folder itself, before or beside a server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from penstock.cli.main import cli

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("PENSTOCK_DATA_DIR", str(tmp_path / "data"))

    def run_command(*arguments: str, **options: str) -> Result:
        return CliRunner().invoke(cli, arguments, prog_name="penstock", **options)  # type: ignore[arg-type]

    return run_command


def test_a_key_is_shown_once(run: Run) -> None:
    made = run("keys", "create", "ops", "--role", "admin")
    assert made.exit_code == 0, made.output
    key = made.stdout.strip()
    assert key.startswith("psk_")
    assert "ops (admin in every cluster); it is not shown again" in made.stderr
    listed = run("keys", "list").output
    assert key not in listed
    assert key[:10] in listed
    assert run("keys", "revoke", "ops").output.startswith("Revoked key ops (key-")
    assert json.loads(run("keys", "list", "--json").output)[0]["revoked"] is not None


def test_who_makes_a_key_in_a_new_data_folder_is_told_so(run: Run, tmp_path: Path) -> None:
    made = run("keys", "create", "ops", "--role", "admin")
    assert f"created a new catalog in {tmp_path / 'data'}" in made.stderr
    assert made.stdout.startswith("psk_")
    assert "Note" not in run("keys", "create", "more", "--role", "admin").output


def test_tenants_clusters_and_their_keys(run: Run) -> None:
    assert (
        run("clusters", "create", "in01-acme", "--org", "acme").stdout == "Created cluster in01-acme of org acme.\n"
    )
    made = run(
        *("keys", "create", "nightly", "--role", "writer", "--org", "acme", "--cluster", "in01-acme"),
        *("--expires", "720h", "--root", "s3://vectors/acme", "--json"),
    )
    assert json.loads(made.output)["expires"] is not None
    told = json.loads(run("keys", "list", "--json").output)[0]
    assert (told["grants"], told["roots"]) == (["writer in in01-acme"], ["s3://vectors/acme"])
    assert run("keys", "list").stdout.splitlines()[1].split()[3] == "acme"
    assert run("clusters", "list").stdout.splitlines()[1].split()[:2] == ["in01-acme", "acme"]
    assert run("clusters", "drop", "in01-acme").exit_code == 0
    assert run("clusters", "list").output == "No clusters.\n"


def test_users_and_what_they_may(run: Run) -> None:
    run("clusters", "create", "in01-local", "--org", "default")
    made = run("users", "create", "ann", "--role", "reader", "--root", "ann", input="correct horse\ncorrect horse\n")
    assert made.exit_code == 0, made.output
    assert "correct horse" not in made.output
    on_sales = ("--role", "writer", "--cluster", "in01-local", "--database", "sales")
    assert run("users", "grant", "ann", *on_sales).exit_code == 0
    told = json.loads(run("users", "list", "--json").output)[0]
    assert told["roots"] == ["ann"]
    assert sorted(told["grants"]) == ["reader in every cluster", "writer in in01-local, database sales"]
    assert run("users", "revoke-role", "ann", *on_sales).exit_code == 0
    assert run("users", "set-password", "ann", input="another one\nanother one\n").exit_code == 0
    assert run("users", "drop", "ann").exit_code == 0
    assert run("users", "list").output == "No users.\n"


def test_a_role_is_revoked_where_it_was_granted(run: Run) -> None:
    run("clusters", "create", "in01-local", "--org", "default")
    of_cluster = ("--role", "admin", "--cluster", "in01-local")
    run("users", "create", "ann", *of_cluster, input="correct horse\ncorrect horse\n")
    refused = run("users", "revoke-role", "ann", "--role", "admin")
    assert refused.exit_code == 1
    assert "ann has no role admin in every cluster, so nothing was revoked" in refused.output
    assert "The roles of ann: admin in in01-local." in refused.output
    assert run("users", "revoke-role", "ann", *of_cluster).output == "ann is no longer admin in in01-local.\n"
    assert "The roles of ann: none." in run("users", "revoke-role", "ann", *of_cluster).output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("keys", "create", "x", "--role", "owner"), "'owner' is not one of"),
        (("keys", "create", "x", "--role", "reader", "--org", "nobody"), "there is no org nobody"),
        (("keys", "create", "x", "--role", "reader", "--cluster", "in01-none"), "cluster in01-none does not exist"),
        (("keys", "create", "x", "--role", "reader", "--database", "d"), "--database needs --cluster"),
        (("keys", "create", "x", "--role", "reader", "--expires", "soon"), "soon"),
        (("keys", "create", "x", "--role", "reader", "--expires", "0s"), "a key must be valid for some time"),
        (("keys", "revoke", "x"), "there is no key x"),
        (("orgs", "set", "default", "--max-jobs", "9" * 20), "is not a limit"),
        (("orgs", "set", "default", "--max-daily-bytes", "9" * 400), "is not a limit"),
        (("users", "drop", "x"), "user not found: x"),
        (("clusters", "create", "acme"), "Use the form in01-search"),
        (("clusters", "drop", "in01-none"), "cluster in01-none does not exist"),
    ],
)
def test_what_wont_do_is_told(run: Run, arguments: tuple[str, ...], told: str) -> None:
    done = run(*arguments)
    assert done.exit_code in (1, 2)
    assert told in done.output
    assert "Traceback" not in done.output


def test_what_an_org_may_have(run: Run) -> None:
    assert run("orgs", "create", "acme").stdout == "Created org acme.\n"
    assert run("orgs", "set", "acme", "--max-jobs", "5", "--max-daily-bytes", "2TiB").exit_code == 0
    assert run("orgs", "set", "acme", "--max-jobs", "none", "--max-running-jobs", "default").exit_code == 0
    told = json.loads(run("orgs", "describe", "acme", "--json").output)
    assert told["may_have"] == {"jobs": "none", "running_jobs": "default", "daily_bytes": 2 << 40}
    assert told["has"] == {"jobs": 0, "running_jobs": 0, "daily_bytes": 0}
    assert "0 of 2,199,023,255,552" in run("orgs", "describe", "acme").output
    assert [line.split()[0] for line in run("orgs", "list").output.splitlines()] == ["Name", "acme", "default"]
    for bad in ("0", "-1", "many", "2TiB"):
        assert run("orgs", "set", "acme", "--max-jobs", bad).exit_code == 2
    assert "there is no org nobody" in run("orgs", "set", "nobody", "--max-jobs", "1").output


def test_a_cluster_may_have_a_store_of_its_own(run: Run, tmp_path: Path) -> None:
    made = run("clusters", "create", "in01-acme", "--org", "acme", "--storage-url", str(tmp_path / "acme"))
    assert made.stdout == f"Created cluster in01-acme of org acme, stored in {tmp_path / 'acme'}.\n"
    assert json.loads(run("clusters", "list", "--json").output)[0]["store"] == str(tmp_path / "acme")
    assert "acme" in run("clusters", "list").output


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("acme", "that of the cluster in01-acme"),
        ("acme/inside", "overlap"),
        ("link", "that of the cluster in01-acme"),
        (".", "and the server's own"),
        ("data", "and the server's own"),
        ("data/collections/mine", "and the server's own"),
        ("file", "File exists"),
    ],
)
def test_no_two_stores_lie_in_each_other(run: Run, tmp_path: Path, place: str, told: str) -> None:
    run("clusters", "create", "in01-acme", "--storage-url", str(tmp_path / "acme"))
    (tmp_path / "link").symlink_to(tmp_path / "acme")
    (tmp_path / "file").write_text("")
    done = run("clusters", "create", "in01-next", "--storage-url", str(tmp_path / place))
    assert done.exit_code == 1
    assert told in done.output
    assert "in01-next" not in run("clusters", "list").output


def test_a_store_must_be_of_use(run: Run) -> None:
    for place in ("gs://bucket/x", "s3://b/../c"):
        done = run("clusters", "create", "in01-next", "--storage-url", place)
        assert done.exit_code == 1
        assert f"{place} is not a valid store: collections can be stored in a folder or" in done.output
