"""Old names are refused with a sentence that names the new one."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from penstock.cli.main import cli
from penstock.cli.renamed import RENAMED_COMMANDS
from penstock.errors import InvalidParameter
from penstock.settings import RENAMED_SETTINGS, Settings, flag_of, load_settings, row_of


@pytest.mark.parametrize(("old", "new"), RENAMED_COMMANDS.items())
def test_an_old_command_names_the_new_one(old: str, new: str) -> None:
    answer = CliRunner().invoke(cli, [*old.split()[1:], "x"], prog_name="penstock")
    assert answer.exit_code == 2
    assert f"'{old}' is now '{new}'." in answer.output
    assert CliRunner().invoke(cli, [*new.split()[1:], "--help"]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["search", "docs", "--like-id", "7"], "--like-id is now --id."),
        (["clusters", "create", "in01-a", "--store", "s3://b/p"], "--store is now --storage-url."),
        (["serve", "--attempts", "3"], "--attempts is now --max-attempts."),
        (["serve", "--insecure"], "--insecure is now --allow-plaintext."),
        (["keys", "list", "--catalog", "sqlite:///c.db"], "--catalog is now --catalog-url."),
    ],
)
def test_an_old_option_names_the_new_one(arguments: list[str], sentence: str) -> None:
    answer = CliRunner().invoke(cli, arguments)
    assert answer.exit_code == 2
    assert sentence in answer.output


@pytest.mark.parametrize(("old", "new"), RENAMED_SETTINGS.items())
def test_an_old_setting_names_the_new_one(old: str, new: str, tmp_path: Path) -> None:
    assert new in Settings.model_fields
    assert old not in Settings.model_fields
    with pytest.raises(InvalidParameter, match=f"PENSTOCK_{old.upper()} is now PENSTOCK_{new.upper()}$"):
        load_settings(environment={f"PENSTOCK_{old.upper()}": "1"})
    file = tmp_path / "penstock.toml"
    file.write_text(f"{old} = 1\n")
    with pytest.raises(InvalidParameter, match=f"the setting {old} in .* is now {new}$"):
        load_settings(config=file, environment={})
    if row_of(new).flag:
        answer = CliRunner().invoke(cli, ["serve", flag_of(old), *([] if row_of(new).boolean else ["1"])])
        assert f"{flag_of(old)} is now {flag_of(new)}." in answer.output
