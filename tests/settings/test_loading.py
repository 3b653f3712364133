"""The settings table: where values come from, in which order, and how bad ones are told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from penstock.cli.server_options import settings_options
from penstock.errors import InvalidParameter
from penstock.settings import Settings, load_settings, settings_table


def load(
    environment: Mapping[str, str] | None = None,
    *,
    config: Path | None = None,
    flags: Mapping[str, object] | None = None,
) -> Settings:
    return load_settings(flags, config, environment or {})


def test_defaults() -> None:
    settings = load()
    assert (settings.host, settings.port) == ("127.0.0.1", 19530)
    assert (settings.cluster_id, settings.region) == ("in01-local", "local")
    assert settings.import_root == ()
    assert settings.workers >= 1
    assert settings.memory_budget > 2**20
    assert settings.v2_success_code == 0
    assert settings.list_window == 24 * 3600
    assert settings.wait_for_index
    assert settings.scheme == "http"


def test_flags_beat_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    config = tmp_path / "penstock.toml"
    config.write_text('port = 1\nregion = "file"\nlist-window = "1h"\n')
    settings = load(
        {"PENSTOCK_PORT": "2", "PENSTOCK_REGION": "env"}, config=config, flags={"port": "3", "host": None}
    )
    assert (settings.port, settings.region, settings.list_window) == (3, "env", 3600)
    assert load({"PENSTOCK_CONFIG": str(config)}).port == 1


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1h30m", 5400), ("1.5h", 5400), ("250ms", 0.25), ("2d", 172800)]
)
def test_time_spans(text: str, seconds: float) -> None:
    assert load({"PENSTOCK_LIST_WINDOW": text}).list_window == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"), [("1024", 1024), ("64KiB", 65536), ("1.5 GiB", 1610612736), ("2MB", 2000000)]
)
def test_sizes(text: str, size: int) -> None:
    assert load({"PENSTOCK_SPLIT_BYTES": text}).split_bytes == size


def test_roots_are_separated_by_commas() -> None:
    assert load({"PENSTOCK_IMPORT_ROOT": "/a, s3://bucket/prefix,"}).import_root == ("/a", "s3://bucket/prefix")
    assert load({"PENSTOCK_IMPORT_ROOT": "/c"}, flags={"import_root": ("/a", "s3://b")}).import_root == (
        "/a",
        "s3://b",
    )
    assert load({"PENSTOCK_IMPORT_ROOT": "/c"}, flags={"import_root": ()}).import_root == ("/c",)


def test_the_success_code_of_2_4_0() -> None:
    assert load({"PENSTOCK_V2_SUCCESS_CODE": "200"}).v2_success_code == 200


def test_standard_aws_variables_come_last() -> None:
    aws = {
        "AWS_ACCESS_KEY_ID": "theirs",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_SESSION_TOKEN": "t",
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "http://store",
    }
    settings = load(aws)
    assert (settings.s3_region, settings.s3_endpoint) == ("eu-west-1", "http://store")
    assert settings.s3_access_key is not None
    assert settings.s3_access_key.get_secret_value() == "theirs"
    assert settings.s3_session_token is not None
    own = load({**aws, "PENSTOCK_S3_ACCESS_KEY": "mine", "PENSTOCK_S3_SECRET_KEY": "m", "PENSTOCK_S3_REGION": "here"})
    assert own.s3_region == "here"
    assert own.s3_access_key is not None
    assert own.s3_access_key.get_secret_value() == "mine"
    assert own.s3_session_token is None, "another account's token must not go with our keys"


def test_secrets_are_never_printed() -> None:
    settings = load({"PENSTOCK_S3_ACCESS_KEY": "visible?", "PENSTOCK_S3_SECRET_KEY": "visible?"})
    assert "visible?" not in f"{settings} {settings!r}"


@pytest.mark.parametrize(
    ("environment", "part"),
    [
        ({"PENSTOCK_PORT": "many"}, "port: many from the environment variable PENSTOCK_PORT"),
        ({"PENSTOCK_PORT": "70000"}, "less than or equal to 65535"),
        ({"PENSTOCK_LIST_WINDOW": "1y"}, "a time span is a number of seconds, or numbers with ms, s, m, h or d"),
        ({"PENSTOCK_LIST_WINDOW": "0"}, "greater than 0"),
        ({"PENSTOCK_LIST_WINDOW": "inf"}, "a time span is a number of seconds"),
        ({"PENSTOCK_LIST_WINDOW": "9" * 400 + "d"}, "finite number"),
        ({"PENSTOCK_MEMORY_BUDGET": "lots"}, "memory_budget: lots"),
        ({"PENSTOCK_LOG_FORMAT": "xml"}, "'console' or 'json'"),
        ({"PENSTOCK_V2_SUCCESS_CODE": "1"}, "0 or 200"),
        ({"PENSTOCK_TLS_CERT": "cert.pem"}, "--tls-cert and --tls-key must be set together"),
        ({"PENSTOCK_CLUSTER_ID": "a b"}, "cluster_id: a b"),
    ],
)
def test_a_bad_value_names_its_origin_and_all_ways_to_set_it(environment: dict[str, str], part: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        load(environment)
    assert part in str(caught.value)


def test_a_bad_value_in_a_file_and_by_flag(tmp_path: Path) -> None:
    config = tmp_path / "penstock.toml"
    config.write_text('port = "x"')
    with pytest.raises(
        InvalidParameter, match=r"port: x from the key port of .*penstock.toml is not valid"
    ) as caught:
        load(config=config)
    assert "Set it with --port, PENSTOCK_PORT, or port in a --config file." in str(caught.value)
    with pytest.raises(InvalidParameter, match="port: y from the flag --port"):
        load(config=config, flags={"port": "y"})


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"port = ", "is not valid TOML"),
        (b"prot = 1", "has unknown keys: prot. Known keys: host"),
        (b"\xff", "cannot be read"),
    ],
)
def test_a_bad_file(tmp_path: Path, content: bytes, part: str) -> None:
    config = tmp_path / "penstock.toml"
    config.write_bytes(content)
    with pytest.raises(InvalidParameter) as caught:
        load(config=config)
    assert part in str(caught.value)
    with pytest.raises(InvalidParameter, match="cannot be read"):
        load(config=tmp_path / "absent.toml")


def test_the_table_is_complete() -> None:
    rows = {row.name: row for row in settings_table()}
    assert rows.keys() == Settings.model_fields.keys()
    for row in rows.values():
        assert row.help.endswith(".")
        assert row.default
        assert row.environment == f"PENSTOCK_{row.name.upper()}"
        assert bool(row.flag) != row.secret, "secrets have no flag: anybody can read a process's arguments"
    assert rows["v2_success_code"].choices == ("0", "200")
    assert rows["import_root"].repeatable
    assert rows["wait_for_index"].boolean
    assert rows["memory_budget"].default == "a quarter of the memory of the machine or container"


@click.command()
@settings_options
def show(config: Path | None, **flags: object) -> None:
    settings = load_settings(flags, config)
    click.echo(f"{settings.port} {settings.import_root} {settings.wait_for_index} {settings.v2_success_code}")


def test_a_command_takes_every_setting() -> None:
    arguments = ["--port", "0", "--import-root", "/a", "--import-root", "s3://b", "--no-wait-for-index"]
    run = CliRunner().invoke(show, [*arguments, "--v2-success-code", "200"], env={"PENSTOCK_PORT": "5"})
    assert run.output == "0 ('/a', 's3://b') False 200\n"
    assert CliRunner().invoke(show, [], env={"PENSTOCK_PORT": "5"}).output.startswith("5 ()")
    text = CliRunner().invoke(show, ["--help"]).output
    for row in settings_table():
        assert row.secret or row.flag in text
