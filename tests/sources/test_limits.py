"""The roots of a key: what is left of the server's roots for who calls with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.errors import FileMissing, PathNotAllowed, PenstockError, Unsupported
from penstock.sources.roots import ImportRoots
from tests.support.s3 import S3Server

WEB, V6, AZURE = "https://web.example/files", "http://[2001:db8::1]:8080", "https://mine1.blob.core.windows.net/box"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tenants' files below one import root."""
    for tenant in ("acme", "globex"):
        (tmp_path / "files" / tenant).mkdir(parents=True)
        (tmp_path / "files" / tenant / "a.json").write_bytes(b"[1]")
    return tmp_path / "files"


def refusal(roots: ImportRoots, path: str) -> str:
    """The same at once and when the job is planned."""
    texts = []
    for ask in (lambda: roots.check(path, has_keys=False), lambda: roots.locate(path)):
        with pytest.raises(PathNotAllowed) as raised:
            ask()
        texts.append(raised.value.message)
    assert texts[0] == texts[1]
    return texts[0]


@pytest.mark.parametrize("limit", ["{folder}/acme", "{folder}/acme/", "file://{folder}/acme", "acme", "./acme/"])
def test_a_key_imports_what_lies_below_its_roots(folder: Path, limit: str) -> None:
    roots = ImportRoots([str(folder)]).within([[limit.format(folder=folder)]])
    for path in ("acme/a.json", "/acme/a.json", f"{folder}/acme/a.json", f"file://{folder}/acme/a.json", "acme/"):
        roots.check(path, has_keys=False)
        [found] = roots.locate(path)
        assert found.uri == f"file://{folder}/acme/a.json"
        assert roots.restore(found.to_json()) == found


@pytest.mark.parametrize(
    "path",
    [
        "globex/a.json",
        "globex/none.json",
        "a.json",
        "",
        "./",
        "{folder}/",
        "{folder}/globex/a.json",
        "file://{folder}/globex/a.json",
        "file://{folder}/globex/none.json",
        "{folder}/acme-2/a.json",
        "acme/../globex/a.json",
        "acme/%2e%2e/globex/a.json",
        "acme/%252e%252e/globex/a.json",
        "acme/..\\globex\\a.json",
        "acme/..;/globex/a.json",
        "file:///etc/passwd",
        "s3://bucket/acme/a.json",
    ],
)
def test_and_nothing_else_whether_it_is_there_or_not(folder: Path, path: str) -> None:
    refusal(ImportRoots([str(folder)]).within([["acme"]]), path.format(folder=folder))


def test_what_is_there_and_what_is_not_are_refused_alike(folder: Path) -> None:
    roots = ImportRoots([str(folder)]).within([["acme"]])
    for path in ("globex/a.json", "globex/none.json"):
        assert refusal(roots, path) == (
            f"path '{path}' is outside the import roots of your key (acme). "
            "Import from there, or ask for a key with another root"
        )
    with pytest.raises(
        FileMissing, match=r"'acme/none\.json': the file does not exist\. Looked in: the import roots$"
    ):
        roots.locate("acme/none.json")


@pytest.mark.parametrize("target", ["a.json", "none.json"])
def test_a_link_to_anothers_file_is_refused_alike(folder: Path, target: str) -> None:
    (folder / "acme" / "link.json").symlink_to(folder / "globex" / target)
    (folder / "acme" / "all").symlink_to(folder / "globex")
    server = ImportRoots([str(folder)])
    mine = server.within([["acme"]])
    for path in ("acme/link.json", "acme/all/a.json", "acme/all/", "acme/"):
        with pytest.raises(
            PenstockError, match=r"is a link that leads outside the import roots|is a link to a folder"
        ):
            mine.locate(path)
    assert [each.name for each in server.locate("acme/all/a.json")] == ["acme/all/a.json"]


def test_a_root_that_is_a_link_allows_no_more_than_the_server_does(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.json").write_bytes(b"[1]")
    (folder / "out").symlink_to(tmp_path / "secret")
    with pytest.raises(PathNotAllowed, match="leads outside the import roots"):
        ImportRoots([str(folder)]).within([["out"]]).locate("out/a.json")
    (tmp_path / "alias").symlink_to(folder)
    for server, limit in ((tmp_path / "alias", folder / "acme"), (folder, tmp_path / "alias" / "acme")):
        roots = ImportRoots([str(server), str(tmp_path / "alias")]).within([[str(limit)]])
        assert [each.name for each in roots.locate("acme/a.json")] == ["acme/a.json"]
        assert "outside the import roots of your key" in refusal(roots, "globex/a.json")


def test_a_key_with_more_than_the_server_has_gets_no_more(folder: Path) -> None:
    wide = ImportRoots([str(folder / "acme")]).within([["/", "s3://", "s3://bucket/"]])
    assert [each.name for each in wide.locate("a.json")] == ["a.json"]
    for path in (f"file://{folder}/globex/a.json", "file:///etc/passwd", "s3://bucket/a.json"):
        refusal(wide, path)
    assert "outside the import roots of your key" in refusal(
        ImportRoots([str(folder)]).within([["s3://bucket/"]]), "acme/a.json"
    )


def test_several_limits_hold_together(folder: Path) -> None:
    roots = ImportRoots([str(folder)]).within([["acme", "globex"], [], ["acme"]])
    assert [each.name for each in roots.locate("acme/a.json")] == ["acme/a.json"]
    refusal(roots, "globex/a.json")
    refusal(roots.within([["globex"]]), "acme/a.json")
    assert ImportRoots([str(folder)]).within([[], []]).locate("globex/a.json")


@pytest.mark.parametrize(
    ("limit", "allowed", "refused"),
    [
        (
            "s3://bucket/in/acme",
            ["s3://bucket/in/acme/a.json", "s3a://bucket/in/acme/", "acme/a.json"],
            ["s3://bucket/in/x"],
        ),
        ("acme", ["s3://bucket/in/acme/a.json", f"{WEB}/acme/a.json"], ["s3://bucket/in/acm", "b.json"]),
        ("s3://bucket", ["s3://bucket/in/a.json"], ["s3://bucket/out/a.json", "s3://bucket/", f"{WEB}/a"]),
        (f"{WEB}/acme/", [f"{WEB}/acme/a.json"], [f"{WEB}/acme-2/a", f"{WEB}/%61cme/a", f"{WEB}/acme%2fa"]),
        (f"{WEB}/acme/", [], ["http://web.example/files/acme/a", "https://web.example:8443/files/acme/a"]),
        (f"{V6}/x", [f"{V6}/x/a.json"], [f"{V6}/y"]),
        ("az://box/acme", [], ["az://box/acme/a.json"]),
        (
            "abfss://box@mine1.dfs.core.windows.net/acme",
            [f"{AZURE}/acme/a.json"],
            ["az://box/acme/a.json", f"{AZURE}/b"],
        ),
    ],
)
def test_buckets_and_web_addresses(limit: str, allowed: list[str], refused: list[str]) -> None:
    roots = ImportRoots(["s3://bucket/in", AZURE, WEB, V6 + "/"]).within([[limit]])
    for path in allowed:
        roots.check(path, has_keys=False)
    for path in refused:
        for has_keys in (False, True):
            with pytest.raises(PathNotAllowed, match=r"outside the import roots of your key"):
                roots.check(path, has_keys=has_keys)


def test_any_bucket_is_for_callers_with_keys_of_their_own() -> None:
    server = ImportRoots(["s3://", "gs://", "gs://open/"])
    one = server.within([["s3://mine/in"]])
    one.check("s3://mine/in/a.json", has_keys=True)
    with pytest.raises(PathNotAllowed, match="only with the caller's own credentials"):
        one.check("s3://mine/in/a.json", has_keys=False)
    for path in ("s3://theirs/in/a.json", "s3://mine/out/a.json", "gs://mine/in/a.json"):
        with pytest.raises(PathNotAllowed, match="outside the import roots of your key"):
            one.check(path, has_keys=True)
    every = server.within([["s3://", "gs://"]])
    every.check("s3://theirs/a.json", has_keys=True)
    every.check("gs://open/a.json", has_keys=True)
    with pytest.raises(PathNotAllowed, match="outside the import roots of your key"):
        every.check("gs://open/a.json", has_keys=False)


def test_objects_below_a_prefix_of_another(s3: S3Server) -> None:
    bucket = s3.make_bucket()
    for key in ("in/acme/a.json", "in/globex/b.json"):
        s3.put(bucket, key, b"[1]")
    server = ImportRoots([f"s3://{bucket}/in"], s3.stores)
    roots = server.within([[f"s3://{bucket}/in/acme"]])
    assert [each.name for each in roots.locate("acme/")] == ["acme/a.json"]
    refusal(roots, f"s3://{bucket}/in/")
    [planned] = server.locate("globex/b.json")
    with pytest.raises(PathNotAllowed, match="outside the import roots of your key"):
        roots.restore(planned.to_json())


def test_files_that_were_planned_before_their_root_was_taken_away(folder: Path) -> None:
    server = ImportRoots([str(folder)])
    saved = server.locate("globex/a.json")[0].to_json()
    assert server.restore(saved).name == "globex/a.json"
    for fewer in (server.within([["acme"]]), ImportRoots([str(folder / "acme")])):
        with pytest.raises(PathNotAllowed, match="is outside the import roots"):
            fewer.restore(saved)


@pytest.mark.parametrize(
    ("root", "error"), [("", PathNotAllowed), ("../x", PathNotAllowed), ("ftp://x/", Unsupported), ("s3://", None)]
)
def test_what_can_be_a_root(root: str, error: type[PenstockError] | None) -> None:
    if error is None:
        ImportRoots([]).within([[root]])
    else:
        with pytest.raises(error):
            ImportRoots(["/data"]).within([[root]])
