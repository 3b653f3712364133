"""Profiles: named servers in files of the user's configuration folder.

``profiles.toml`` has the address, database and cluster of each, and where its API key comes from; ``api-keys.toml``,
readable by its owner only, the keys that were saved. The folder is ``$XDG_CONFIG_HOME/penstock``, else
``~/.config/penstock`` (or what the operating system has in its place).
"""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from penstock.cli.errors import Failure
from penstock.cli.groups import did_you_mean

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_KEYS = ("url", "database", "cluster_id", "api_key_file", "api_key_env")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A server. Its API key is in a file, in an environment variable, saved, or there is none."""

    name: str
    url: str
    database: str = ""
    cluster_id: str = ""
    api_key_file: str = ""
    api_key_env: str = ""

    @property
    def key_source(self) -> str:
        """Where the API key comes from, never the key."""
        if self.api_key_file:
            return f"file {self.api_key_file}"
        if self.api_key_env:
            return f"variable {self.api_key_env}"
        return "saved" if self.name in _read(_keys_path(), private=True) else "none"

    def api_key(self) -> str:
        """Read the API key; empty if there is none.

        Raises:
            Failure: its file or variable isn't there.
        """
        if self.api_key_file:
            try:
                return Path(self.api_key_file).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise Failure(
                    f"the API key of profile {self.name} cannot be read from {self.api_key_file}: {error}. To choose "
                    f"another file: penstock profile add {self.name} --replace --url {self.url} --api-key-file FILE"
                ) from error
        if self.api_key_env:
            if not os.environ.get(self.api_key_env):
                raise Failure(
                    f"the API key of profile {self.name} is in the variable {self.api_key_env}, which is not set. "
                    f"Set it: export {self.api_key_env}=…"
                )
            return os.environ[self.api_key_env].strip()
        return str(_read(_keys_path(), private=True).get(self.name, ""))


def profiles() -> Mapping[str, Profile]:
    """Read all profiles, by name.

    Raises:
        Failure: the file can't be read.
    """
    path = _profiles_path()
    found = {}
    for name, entry in _read(path).items():
        if not isinstance(entry, dict) or not isinstance(entry.get("url"), str):
            raise Failure(f"the profile {name} in {path} has no url. To create it again: penstock profile add {name}")
        found[name] = Profile(name=name, **{key: str(entry[key]) for key in _KEYS if key in entry})
    return found


def get_profile(name: str) -> Profile:
    """Raises click.UsageError, with the nearest name, if there is no such profile."""
    found = profiles()
    if name not in found:
        hint = did_you_mean(name, found) or (
            "List the profiles: penstock profile list"
            if found
            else f"Create it: penstock profile add {name} --url URL"
        )
        raise click.UsageError(f"There is no profile {name!r}. {hint}")
    return found[name]


def save_profile(profile: Profile, api_key: str | None) -> None:
    """Add or replace a profile; ``api_key`` is saved unless it is None.

    Raises:
        Failure: the files can't be written.
    """
    keys = dict(_read(_keys_path(), private=True))
    had_key = keys.pop(profile.name, None) is not None
    if api_key is not None:
        keys[profile.name] = api_key
    if had_key or api_key is not None:
        _write(_keys_path(), "".join(f"{_text(name)} = {_text(key)}\n" for name, key in keys.items()))
    _write_profiles({**profiles(), profile.name: profile})


def remove_profile(name: str) -> None:
    """Remove a profile and its saved key. Raises as :func:`get_profile`."""
    get_profile(name)
    keys = dict(_read(_keys_path(), private=True))
    if keys.pop(name, None) is not None:
        _write(_keys_path(), "".join(f"{_text(each)} = {_text(key)}\n" for each, key in keys.items()))
    _write_profiles({each: profile for each, profile in profiles().items() if each != name})


def check_name(name: str) -> None:
    """Raises click.BadParameter."""
    if not _NAME.match(name):
        raise click.BadParameter(f"{name!r} may have 1 to 64 letters, digits, _ and -", param_hint="NAME")


def _write_profiles(found: Mapping[str, Profile]) -> None:
    sections = []
    for profile in found.values():
        values = [f"{key} = {_text(value)}\n" for key in _KEYS if (value := getattr(profile, key))]
        sections.append(f"[{profile.name}]\n{''.join(values)}")
    _write(_profiles_path(), "\n".join(sections))


def _folder() -> Path:
    return Path(click.get_app_dir("penstock"))


def _profiles_path() -> Path:
    return _folder() / "profiles.toml"


def _keys_path() -> Path:
    return _folder() / "api-keys.toml"


def _read(path: Path, *, private: bool = False) -> Mapping[str, Any]:
    """The content of a file; nothing if it isn't there. A private one must not be readable by others."""
    try:
        with path.open("rb") as file:
            if private and os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise Failure(f"other users can read the API keys in {path}. Change that: chmod 600 {path}")
            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        # Not with the error's own text: it may quote a key.
        why = "it is no TOML" if private else f"it is no TOML: {error}"
        raise Failure(f"{path} cannot be read: {why}. Correct it, or delete it and add the profiles again") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{path} cannot be read: {error}") from error


def _write(path: Path, text: str) -> None:
    """Replace a file at once by one that only its owner can read."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # its mode is 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error}") from error


def _text(value: str) -> str:
    """A TOML string; JSON's is one, too, but for the character DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
