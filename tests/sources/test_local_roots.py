"""Import roots on the local disk: what is found, in which order, and what never is."""

from __future__ import annotations

import errno
import os
import pickle
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.errors import FileMissing, FileUnreadable, PathNotAllowed, SourceError, SourceUnavailable
from penstock.sources.base import Location
from penstock.sources.opening import open_source
from penstock.sources.roots import ImportRoots


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "docs").mkdir(parents=True)
    (folder / "docs" / "a.json").write_bytes(b"[1]")
    (folder / "docs" / "b.json").write_bytes(b"[22]")
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    file = tmp_path / "secret.json"
    file.write_bytes(b"secret")
    return file


def content(location: Location) -> bytes:
    with open_source(location).open_stream() as stream:
        return stream.read()


def test_a_relative_path_is_looked_for_in_each_root_in_order(root: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    (second / "only here.json").write_bytes(b"[3]")
    (second / "docs").mkdir()
    (second / "docs" / "a.json").write_bytes(b"hidden by the first root")
    roots = ImportRoots([str(root), str(second)])

    [found] = roots.locate("docs/a.json")
    assert (found.name, found.size, content(found)) == ("docs/a.json", 3, b"[1]")
    [found] = roots.locate("only here.json")
    assert found.uri == f"file://{second}/only%20here.json"
    assert content(found) == b"[3]"


@pytest.mark.parametrize("form", ["{root}/docs/a.json", "file://{root}/docs/a.json", "/docs/a.json"])
def test_an_absolute_path_is_a_file_of_a_root_or_a_name_below_one(root: Path, form: str) -> None:
    [found] = ImportRoots([str(root)]).locate(form.format(root=root))
    assert content(found) == b"[1]"


def test_a_miss_lists_every_place(root: Path, tmp_path: Path) -> None:
    roots = ImportRoots([str(root), str(tmp_path)])
    roots.check("none/x.json", has_keys=False)  # existence is not asked at create time
    with pytest.raises(FileMissing) as raised:
        roots.locate("none/x.json")
    assert raised.value.message == (
        f"path 'none/x.json': the file does not exist. Looked in: {root}/none/x.json, {tmp_path}/none/x.json"
    )
    with pytest.raises(FileMissing, match=r"a\.json/b"):
        roots.locate("docs/a.json/b")


def test_a_folder_gives_its_files_by_name(root: Path) -> None:
    (root / "docs" / "deep").mkdir()
    (root / "docs" / "deep" / "c.json").write_bytes(b"")
    (root / "docs" / ".hidden.json").write_bytes(b"x")
    (root / "docs" / ".git").mkdir()
    (root / "docs" / ".git" / "d.json").write_bytes(b"x")
    (root / "docs" / "_SUCCESS").write_bytes(b"")
    found = ImportRoots([str(root)]).locate("docs/")
    assert [(each.name, each.size) for each in found] == [
        ("docs/a.json", 3),
        ("docs/b.json", 4),
        ("docs/deep/c.json", 0),
    ]


def test_an_empty_folder_is_missing(root: Path) -> None:
    (root / "empty").mkdir()
    with pytest.raises(FileMissing, match=r"has no files\. Looked in: .*/root/empty/$"):
        ImportRoots([str(root)]).locate("empty/")


def test_a_path_outside_every_root_is_refused_by_its_text(root: Path, outside: Path) -> None:
    roots = ImportRoots([str(root)])
    for path in (f"file://{outside}", f"file://{root}-other/a.json", "file:///etc/passwd", "s3://bucket/a.json"):
        with pytest.raises(PathNotAllowed, match=str(root)):
            roots.check(path, has_keys=True)
    with pytest.raises(PathNotAllowed, match=r"no import roots\. Start it with --import-root"):
        ImportRoots([]).check("a.json", has_keys=False)


def test_an_absolute_path_outside_is_only_ever_a_name_below_a_root(root: Path, outside: Path) -> None:
    with pytest.raises(FileMissing) as raised:
        ImportRoots([str(root)]).locate(str(outside))
    assert raised.value.message == (
        f"path '{outside}' is outside the import roots ({root}). Copy or move the file below one of them, or "
        f"start the server with another --import-root {outside.parent}. As a name below a root the file does not "
        f"exist: looked in {root}{outside}"
    )


def test_a_tenant_sees_no_folder_of_the_server(root: Path, outside: Path) -> None:
    roots = ImportRoots([str(root)])
    for tenants in (
        roots.within([], for_tenant=True),
        roots.within([["docs"]]),
        ImportRoots([]).within([], for_tenant=True),
    ):
        for path in (
            "docs/none.json",
            "docs/none/",
            "/docs/none.json",
            str(outside),
            outside.as_uri(),
            "docs/a.json/b",
        ):
            with pytest.raises((FileMissing, PathNotAllowed)) as raised:
                tenants.check(path, has_keys=False)
                tenants.locate(path)
            assert str(root) not in raised.value.message.replace(path, "")
            assert "--import-root" not in raised.value.message
    with pytest.raises(PathNotAllowed, match=r"outside the import roots \(s3://theirs/in\)\. Copy or move the file"):
        ImportRoots([str(root), "s3://theirs/in"]).within([], for_tenant=True).check(outside.as_uri(), has_keys=False)


def test_a_link_that_leads_out_is_refused(root: Path, outside: Path) -> None:
    (root / "link.json").symlink_to(outside)
    (root / "up").symlink_to(outside.parent)
    (root / "folder").mkdir()
    (root / "folder" / "link.json").symlink_to(outside)
    roots = ImportRoots([str(root)])
    for path in ("link.json", "up/secret.json", "up/", "folder/", f"file://{root}/link.json"):
        roots.check(path, has_keys=False)
        with pytest.raises(PathNotAllowed, match="leads outside the import roots"):
            roots.locate(path)


def test_a_link_inside_the_root_and_a_root_that_is_a_link_are_fine(root: Path, tmp_path: Path) -> None:
    (root / "link.json").symlink_to(root / "docs" / "a.json")
    (tmp_path / "alias").symlink_to(root)
    roots = ImportRoots([str(tmp_path / "alias")])
    for path in ("link.json", f"file://{tmp_path}/alias/link.json", f"file://{root}/link.json"):
        assert [content(each) for each in roots.locate(path)] == [b"[1]"]


def test_a_linked_folder_inside_a_folder_is_not_left_out_silently(root: Path) -> None:
    (root / "all").mkdir()
    (root / "all" / "docs").symlink_to(root / "docs")
    with pytest.raises(FileUnreadable, match="'all/docs' is a link to a folder"):
        ImportRoots([str(root)]).locate("all/")


@pytest.mark.parametrize("swap", ["file", "folder"])
def test_a_link_slipped_in_after_the_check_is_not_followed(root: Path, outside: Path, swap: str) -> None:
    [found] = ImportRoots([str(root)]).locate("docs/a.json")
    if swap == "file":
        (root / "docs" / "a.json").unlink()
        (root / "docs" / "a.json").symlink_to(outside)
    else:
        (outside.parent / "a.json").write_bytes(b"sec")
        (root / "docs").rename(root / "gone")
        (root / "docs").symlink_to(outside.parent)
    source = open_source(found)
    for read in (source.open_stream, source.open_arrow):
        with pytest.raises((PathNotAllowed, FileMissing)):
            read()


def never_opened(root: Path) -> dict[str, str]:
    """Paths that must be refused, by what they try."""
    os.mkfifo(root / "pipe.json")
    (root / "out.json").symlink_to("/etc/passwd")
    (root / "relative.json").symlink_to("../secret.json")
    (root / "chain.json").symlink_to("out.json")
    (root / "loop.json").symlink_to("loop.json")
    (root / "up").symlink_to("..")
    (root / "environ.json").symlink_to("/proc/self/environ")
    return {
        "..": "../secret.json",
        ".. in the middle": "docs/../../secret.json",
        "..  of an address": f"file://{root}/../secret.json",
        "backslashes": "docs\\..\\..\\secret.json",
        "encoded ..": "%2e%2e/secret.json",
        "half encoded ..": ".%2E/secret.json",
        "encoded slash": "..%2fsecret.json",
        "encoded backslash": "..%5csecret.json",
        "encoded twice": "%252e%252e%252fsecret.json",
        "encoded five times": "%25252525252e%25252525252e/secret.json",
        "overlong UTF-8": "%c0%ae%c0%ae/secret.json",
        "path parameters": "..;/secret.json",
        "NUL": "docs/a.json\0.png",
        "encoded NUL": "docs/a.json%00.png",
        "another host": "file://elsewhere/docs/a.json",
        "this host": f"file://localhost{root}/docs/a.json",
        "a host and ..": "file://../secret.json",
        "absolute": "file:///etc/passwd",
        "link": "out.json",
        "relative link": "relative.json",
        "link to a link": "chain.json",
        "link in a circle": "loop.json",
        "folder that is a link": "up/secret.json",
        "link as folder": "up/",
        "pipe": "pipe.json",
        "socket": "socket.json",
        "folder as file": "docs",
        "character device": "file:///dev/zero",
        "terminal": "file:///dev/tty",
        "descriptor": "file:///dev/fd/0",
        "standard input": "file:///dev/stdin",
        "process": "file:///proc/self/environ",
        "process's memory": "file:///proc/self/mem",
        "process's root": "file:///proc/self/root/etc/passwd",
        "link to a process": "environ.json",
        "kernel": "file:///sys/kernel/notes",
        "device folder": "file:///dev/",
        "process folder": "file:///proc/self/",
    }


def test_what_is_never_opened(root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where the import roots are as careless as can be."""
    assert outside.read_bytes() == b"secret"
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.json")
        own, careless = ImportRoots([str(root)]), ImportRoots(["/dev", "/proc", "/sys"])
        for attempt, path in never_opened(root).items():
            roots = careless if path.startswith(("file:///dev", "file:///proc", "file:///sys")) else own
            try:
                found = roots.locate(path)
            except (PathNotAllowed, FileUnreadable):
                continue
            pytest.fail(f"{attempt}: {path} leads to {found}")


@pytest.mark.skipif(os.geteuid() != 0, reason="another user can only be played by root")
def test_permission_denied_is_told(root: Path) -> None:
    (root / "docs" / "a.json").chmod(0)
    for folder in (root, *root.parents):
        if str(folder).startswith("/tmp/"):  # pytest's own folders are closed to others
            folder.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(FileUnreadable, match=r"docs/a\.json.*permission denied"):
            ImportRoots([str(root)]).locate("docs/a.json")
    finally:
        os.seteuid(0)


def test_a_file_that_changed_since_it_was_located_is_not_read(root: Path) -> None:
    [found] = ImportRoots([str(root)]).locate("docs/a.json")
    (root / "docs" / "a.json").write_bytes(b"[1, 2, 3]")
    with pytest.raises(FileUnreadable, match="has changed while it was imported: 3 bytes then, 9 now"):
        open_source(found).open_arrow()


def test_a_write_right_after_the_look_is_seen(root: Path) -> None:
    """A file's times come from a clock of some milliseconds: the look waits until a later write gets another one."""
    for number in range(20):
        (root / "docs" / "a.json").write_text(f"{number:4}")
        [found] = ImportRoots([str(root)]).locate("docs/a.json")
        (root / "docs" / "a.json").write_text(f"{number + 1:4}")
        with pytest.raises(FileUnreadable, match="has changed while it was imported: it was written or replaced at"):
            open_source(found).open_stream()


def test_plans_of_earlier_releases_have_a_shorter_version(root: Path) -> None:
    [found] = ImportRoots([str(root)]).locate("docs/a.json")
    inode, written, _ = found.version.split("-")
    assert content(replace(found, version=f"{inode}-{written}")) == content(replace(found, version="")) == b"[1]"
    with pytest.raises(FileUnreadable, match="has changed"):
        content(replace(found, version=f"{inode}-{written[:-1]}"))


def test_a_source_reads_any_part_and_travels_to_workers(root: Path) -> None:
    (root / "big.json").write_bytes(bytes(range(256)) * 10_000)
    [found] = ImportRoots([str(root)]).locate("big.json")
    source = open_source(pickle.loads(pickle.dumps(found)))
    assert source.local_path() == str(root / "big.json")
    with source.open_stream(300, 303) as stream:
        assert stream.read() == bytes([44, 45, 46])
    with source.open_stream(source.size - 1, source.size + 10) as stream:
        assert stream.read() == b"\xff"
    with source.open_stream(10, 5) as stream:
        assert stream.read() == b""
    with source.open_arrow() as file:
        assert file.size() == source.size == 2_560_000
        file.seek(2_559_997)
        assert file.read(3) == b"\xfd\xfe\xff"


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ESTALE, SourceUnavailable), (errno.EIO, SourceUnavailable), (errno.EINVAL, FileUnreadable)],
)
def test_a_network_file_system_that_fails_while_a_file_is_read(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[SourceError]
) -> None:
    [found] = ImportRoots([str(root)]).locate("docs/a.json")

    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "preadv", fail)
        with pytest.raises(kind, match=f"file 'docs/a.json' cannot be read: {os.strerror(number)}"):
            content(found)
    assert content(found) == b"[1]"


def test_names_that_are_not_utf8(root: Path) -> None:
    with open(os.path.join(os.fsencode(root), b"caf\xe9.json"), "wb") as file:
        file.write(b"[]")
    for path in (os.fsdecode(b"caf\xe9.json"), f"{root}/"):
        with pytest.raises(PathNotAllowed, match=r"udce9\.json' is not allowed: .* not Unicode\. Rename the file"):
            ImportRoots([str(root)]).locate(path)
