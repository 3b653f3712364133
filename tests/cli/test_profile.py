"""``penstock profile`` and ``--profile``: which server is called, with which key, and who can read the key."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from penstock.cli.main import cli
from tests.sdk.recording_server import RecordingServer, recording_server

KEY = "key-of-the-profile"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's configuration folder."""
    for name in ("PENSTOCK_URL", "PENSTOCK_API_KEY", "PENSTOCK_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "penstock"


@pytest.fixture
def recorder(folder: Path) -> Iterator[RecordingServer]:
    with recording_server() as server:
        server.answer("/v2/vectordb/databases/list", {"code": 0, "data": ["default"]})
        server.answer("/v2/vectordb/partitions/list", {"code": 0, "data": []})
        yield server


def run(*arguments: str, input: str = "") -> Result:
    return CliRunner().invoke(cli, arguments, prog_name="penstock", input=input)


def sent_key(recorder: RecordingServer) -> str:
    return recorder.last.headers.get("Authorization", "")


def test_a_saved_key_is_readable_by_its_owner_only_and_never_printed(folder: Path, recorder: RecordingServer) -> None:
    added = run("profile", "add", "prod", "--url", recorder.url, "--save-api-key", input=f"{KEY}\n")
    assert added.exit_code == 0, added.output
    assert [stat.S_IMODE((folder / name).stat().st_mode) for name in ("api-keys.toml", "profiles.toml")] == [
        0o600
    ] * 2
    assert run("databases", "list", "--profile", "prod").exit_code == 0
    assert sent_key(recorder) == f"Bearer {KEY}"
    listed = run("profile", "list")
    as_json = run("profile", "list", "--json")
    assert listed.stdout.splitlines()[1].split() == ["prod", recorder.url, "-", "-", "saved"]
    assert json.loads(as_json.stdout)[0]["apiKey"] == "saved"
    assert KEY not in added.output + listed.output + as_json.output + (folder / "profiles.toml").read_text()
    (folder / "api-keys.toml").chmod(0o644)
    refused = run("databases", "list", "--profile", "prod")
    assert refused.exit_code == 1
    assert f"chmod 600 {folder / 'api-keys.toml'}" in refused.stderr
    (folder / "api-keys.toml").chmod(0o600)
    assert run("profile", "remove", "prod").exit_code == 0
    assert KEY not in (folder / "api-keys.toml").read_text()


def test_keys_in_a_file_or_a_variable_of_ones_own(
    tmp_path: Path, recorder: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_file = tmp_path / "key.txt"
    key_file.write_text(f"{KEY}\n")
    assert run("profile", "add", "a", "--url", recorder.url, "--api-key-file", str(key_file)).exit_code == 0
    assert run("databases", "list", "--profile", "a").exit_code == 0
    assert sent_key(recorder) == f"Bearer {KEY}"
    key_file.unlink()
    missing = run("databases", "list", "--profile", "a")
    assert missing.exit_code == 1
    assert "penstock profile add a --replace" in missing.stderr
    run("profile", "add", "b", "--url", recorder.url, "--api-key-env", "MY_KEY")
    assert "export MY_KEY=" in run("databases", "list", "--profile", "b").stderr
    monkeypatch.setenv("MY_KEY", "of-a-variable")
    assert run("databases", "list", "--profile", "b").exit_code == 0
    assert sent_key(recorder) == "Bearer of-a-variable"


def test_a_key_is_sent_to_its_own_address_only(recorder: RecordingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("PENSTOCK_API_KEY", "of-another-server")
    run("profile", "add", "bare", "--url", recorder.url, "--database", "sales")
    assert run("databases", "list", "--profile", "bare").exit_code == 0
    assert sent_key(recorder) == ""
    run("partitions", "list", "docs", "--profile", "bare")
    assert recorder.last.body["dbName"] == "sales"
    run("partitions", "list", "docs", "--profile", "bare", "--database", "other")
    assert recorder.last.body["dbName"] == "other"
    run("profile", "add", "keyed", "--url", "http://127.0.0.1:9", "--save-api-key", input=f"{KEY}\n")
    monkeypatch.setenv("PENSTOCK_PROFILE", "keyed")
    assert run("databases", "list", "--url", recorder.url).exit_code == 0
    assert sent_key(recorder) == "Bearer of-another-server"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("databases", "list", "--profile", "prd"), 2, "There is no profile 'prd'. Did you mean 'prod'?"),
        (("profile", "remove", "x"), 2, "List the profiles: penstock profile list"),
        (("profile", "add", "prod", "--url", "http://h"), 2, "To change it, add --replace."),
        (("profile", "add", "a b", "--url", "http://h"), 2, "letters, digits, _ and -"),
        (("profile", "add", "x", "--url", "ftp://h"), 2, "is not the address of a server"),
        (("profile", "add", "x", "--url", "http://h?token=17"), 2, "'http://h' is not the address of a server"),
        (("profile", "add", "x", "--url", "http://me:word@h:99999"), 2, "'http://h:99999' is not the address"),
        (("profile", "add", "x", "--url", "http://me:word@h"), 2, "leave user and password out of the address"),
        (("profile", "add", "x", "--url", "http://h", "--api-key-file", "/nowhere"), 2, "there is no file /nowhere"),
        (("profile", "add", "x", "--url", "http://h", "--save-api-key"), 2, "standard input, which is empty"),
        (("profile", "add", "x", "--url", "h", "--save-api-key", "--api-key-env", "K"), 2, "Give one of"),
    ],
)
def test_what_is_refused(folder: Path, arguments: tuple[str, ...], code: int, told: str) -> None:
    assert run("profile", "add", "prod", "--url", "http://127.0.0.1:9").exit_code == 0
    refused = run(*arguments)
    assert (refused.exit_code, told in refused.stderr) == (code, True), refused.output
    assert [entry["name"] for entry in json.loads(run("profile", "list", "--json").stdout)] == ["prod"]


def test_a_damaged_file_of_keys_is_not_quoted(folder: Path) -> None:
    run("profile", "add", "prod", "--url", "http://127.0.0.1:9", "--save-api-key", input=f"{KEY}\n")
    (folder / "api-keys.toml").write_text(f"prod = {KEY}\n")
    refused = run("profile", "list")
    assert refused.exit_code == 1
    assert "api-keys.toml cannot be read" in refused.stderr
    assert KEY not in refused.output


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("api-keys.toml", b"prod = 905176\n", "the API key of profile prod"),
        ("api-keys.toml", b'[prod]\nkey = "905176"\n', "the API key of profile prod"),
        ("api-keys.toml", b'prod = "905176\xff"\n', "it is not UTF-8"),
        ("api-keys.toml", b'prod = "905176\\n18"\n', "the API key contains control characters"),
        ("profiles.toml", b'[prod]\nurl = "http://h"\napi_key = "905176"\n', "unknown key 'api_key'. Did you mean"),
        ("profiles.toml", b'[prod]\nurl = "http://h"\napi_key_env = ["905176"]\n', "api_key_env of the profile prod"),
        ("profiles.toml", b"[prod]\nurl = 905176\n", "the profile prod in"),
        ("key.txt", b"905176\n18\n", "the API key contains control characters"),
        ("key.txt", b"905176\xff\n", "it is not UTF-8"),
    ],
)
def test_wrong_content_is_named_and_not_quoted(folder: Path, name: str, content: bytes, told: str) -> None:
    arguments = ("profile", "add", "prod", "--url", "http://127.0.0.1:9")
    folder.mkdir()
    if name == "key.txt":
        (folder / name).write_bytes(content)
        run(*arguments, "--api-key-file", str(folder / name))
    else:
        run(*arguments, "--save-api-key", input=f"{KEY}\n")
    (folder / name).write_bytes(content)
    refused = run("databases", "list", "--profile", "prod")
    assert (refused.exit_code in (1, 2), told in refused.stderr) == (True, True), refused.output
    assert isinstance(refused.exception, SystemExit)  # a message, no traceback
    assert "905176" not in refused.output
    assert "0xff" not in refused.output


def test_a_replaced_profile_has_no_old_key_and_damaged_profiles_keep_theirs(folder: Path) -> None:
    arguments = ("profile", "add", "prod", "--url", "http://127.0.0.1:9")
    run(*arguments, "--save-api-key", input=f"{KEY}\n")
    profiles = (folder / "profiles.toml").read_text()
    (folder / "profiles.toml").write_text("[prod\n")
    assert run(*arguments, "--replace").exit_code == 1
    assert KEY in (folder / "api-keys.toml").read_text()
    (folder / "profiles.toml").write_text(profiles)
    assert run(*arguments, "--replace").exit_code == 0
    assert KEY not in (folder / "api-keys.toml").read_text()


def test_a_name_that_was_written_by_hand_stays(folder: Path) -> None:
    folder.mkdir()
    (folder / "profiles.toml").write_text('["my.server [1]"]\nurl = "http://h"\n')
    assert run("profile", "add", "prod", "--url", "http://h").exit_code == 0
    assert [entry["name"] for entry in json.loads(run("profile", "list", "--json").stdout)] == [
        "my.server [1]",
        "prod",
    ]


def test_no_profiles(folder: Path) -> None:
    assert "penstock profile add NAME --url URL" in run("profile", "list").stderr
