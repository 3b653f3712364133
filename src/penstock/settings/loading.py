"""Load settings from flags, environment, a file and defaults; errors name the source of a bad value."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from penstock.errors import InvalidParameter, shorten
from penstock.settings.model import Settings
from penstock.settings.names import ENVIRONMENT_PREFIX, flag_of, variable_of
from penstock.settings.renamed import RENAMED_SETTINGS
from penstock.settings.table import row_of


def load_settings(
    flags: Mapping[str, object] | None = None,
    config: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Load settings from flags, environment, a TOML file and defaults; the first that has a value wins.

    Args:
        flags: by field name; None and empty tuples count as not given.
        config: the TOML file; None takes the one that ``PENSTOCK_CONFIG`` names, if any.
        environment: ``os.environ`` unless given.

    Raises:
        InvalidParameter: names the flag, the variable and the file's key, and says where the bad value came from; or
            a flag shows a password.
    """
    environment = os.environ if environment is None else environment
    if config is None and environment.get(ENVIRONMENT_PREFIX + "CONFIG"):
        config = Path(environment[ENVIRONMENT_PREFIX + "CONFIG"])
    _refuse_renamed(environment)
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    flag_values = {name: value for name, value in (flags or {}).items() if value is not None and value != ()}
    _refuse_shown_password(flag_values.get("catalog_url"))
    layers = (
        ({} if config is None else _read_config(config), "the key {name} of {config}"),
        (_from_environment(environment), "the environment variable {variable}"),
        (flag_values, "the flag {flag}"),
    )
    for layer, origin in layers:
        values |= layer
        origins |= {
            name: origin.format(name=name, config=config, variable=variable_of(name), flag=flag_of(name))
            for name in layer
        }
    values = _from_aws(environment, values) | values
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise InvalidParameter(_explain(error, origins)) from error


def _refuse_shown_password(catalog: object) -> None:
    try:
        url = urlsplit(str(catalog or ""))
    except ValueError:  # opening the catalog gives a better error
        return
    if url.password or "password=" in url.query:
        raise InvalidParameter(
            "--catalog-url contains a password, and all users of this machine can read the arguments of its "
            "processes. Set the URL in PENSTOCK_CATALOG_URL or in a --config file, or store the password in "
            "~/.pgpass"
        )


def _refuse_renamed(environment: Mapping[str, str]) -> None:
    for old, new in RENAMED_SETTINGS.items():
        if environment.get(variable_of(old)):
            raise InvalidParameter(f"the environment variable {variable_of(old)} is now {variable_of(new)}")


def _read_config(path: Path) -> dict[str, object]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidParameter(f"the settings file {path} cannot be read: {error}", file=str(path)) from error
    try:
        values = {name.replace("-", "_"): value for name, value in tomllib.loads(text).items()}
    except tomllib.TOMLDecodeError as error:
        raise InvalidParameter(f"the settings file {path} is not valid TOML: {error}", file=str(path)) from error
    for name in RENAMED_SETTINGS.keys() & values.keys():
        raise InvalidParameter(f"the setting {name} in {path} is now {RENAMED_SETTINGS[name]}", file=str(path))
    unknown = sorted(values.keys() - Settings.model_fields.keys())
    if unknown:
        raise InvalidParameter(
            f"the settings file {path} has unknown keys: {', '.join(unknown)}. "
            f"Known keys: {', '.join(Settings.model_fields)}",
            file=str(path),
        )
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    values = {name: environment.get(variable_of(name), "") for name in Settings.model_fields}
    return {name: value for name, value in values.items() if value}


def _from_aws(environment: Mapping[str, str], settings: Mapping[str, object]) -> dict[str, object]:
    """Read the standard AWS variables; keys only as a set, so that halves of two accounts never mix."""
    variables: dict[str, tuple[str, ...]] = {
        "s3_endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        "s3_region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    }
    keys = {
        "s3_access_key": ("AWS_ACCESS_KEY_ID",),
        "s3_secret_key": ("AWS_SECRET_ACCESS_KEY",),
        "s3_session_token": ("AWS_SESSION_TOKEN",),
    }
    if not keys.keys() & settings.keys() and all(environment.get(keys[key][0]) for key in list(keys)[:2]):
        variables |= keys
    values = {name: next(filter(None, map(environment.get, names)), None) for name, names in variables.items()}
    return {name: value for name, value in values.items() if value}


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    lines = []
    for problem in error.errors():
        name = str(problem["loc"][0]) if problem["loc"] else ""
        reason = str(problem["msg"]).removeprefix("Value error, ")
        if name not in Settings.model_fields:
            lines.append(f"{name}: {reason}" if name else reason)
            continue
        row = row_of(name)
        value = "the value" if row.secret else shorten(problem["input"])
        lines.append(
            f"{name}: {value} from {origins.get(name, 'the default')} is not valid: {reason}. {row.help} "
            f"Set it with {row.flag + ', ' if row.flag else ''}{row.environment}, or {name} in a --config file."
        )
    return "\n".join(lines)
