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
        return "saved" if self.name in _saved_keys() else "none"

    def api_key(self) -> str:
        """Read the API key; empty if there is none.

        Raises:
            Failure: its file or variable isn't there, or holds no key.
        """
        if self.api_key_file:
            try:
                return Path(self.api_key_file).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise Failure(
                    f"the API key of profile {self.name} cannot be read from {self.api_key_file}: {_why(error)}. To "
                    f"choose another file: penstock profile add {self.name} --replace --url {self.url} "
                    "--api-key-file FILE"
                ) from None
        if self.api_key_env:
            if not os.environ.get(self.api_key_env):
                raise Failure(
                    f"the API key of profile {self.name} is in the variable {self.api_key_env}, which is not set. "
                    f"Set it: export {self.api_key_env}=…"
                )
            return os.environ[self.api_key_env].strip()
        return _saved_keys().get(self.name, "")


def profiles() -> Mapping[str, Profile]:
    """Read all profiles, by name.

    Raises:
        Failure: the file can't be read.
    """
    path = _profiles_path()
    return {name: _profile(name, entry, path) for name, entry in _read(path).items()}


def _profile(name: str, entry: Any, path: Path) -> Profile:
    """The profile of an entry of the file. Errors don't show values: one of them may be a key in the wrong place."""
    if not isinstance(entry, dict) or not isinstance(entry.get("url"), str):
        raise Failure(
            f"the profile {name} in {path} has no url. To create it again: penstock profile add {name} --url URL"
        )
    for key, value in entry.items():
        if key not in _KEYS:
            hint = did_you_mean(key, _KEYS) or f"The keys are {', '.join(_KEYS)}."
            raise Failure(f"the profile {name} in {path} has the unknown key {key!r}. {hint}")
        if not isinstance(value, str):
            raise Failure(f"{key} of the profile {name} in {path} is not text. Write it in quotes")
    return Profile(name=name, **entry)


def get_profile(name: str) -> Profile:
    """Read the profile of a name. Raises click.UsageError, with the nearest name, if there is none."""
    by_name = profiles()
    if name not in by_name:
        hint = did_you_mean(name, by_name) or (
            "List the profiles: penstock profile list"
            if by_name
            else f"Create it: penstock profile add {name} --url URL"
        )
        raise click.UsageError(f"There is no profile {name!r}. {hint}")
    return by_name[name]


def save_profile(profile: Profile, api_key: str | None) -> None:
    """Add or replace a profile; ``api_key`` is saved unless it is None.

    Raises:
        Failure: the files can't be read or written.
    """
    by_name = {**profiles(), profile.name: profile}
    # Whatever ends this halfway, no key is left with the address of another profile.
    keys = _forget_key(profile.name)
    _write_profiles(by_name)
    if api_key is not None:
        _write_keys({**keys, profile.name: api_key})


def remove_profile(name: str) -> None:
    """Remove a profile and its saved key. Raises as :func:`get_profile`."""
    get_profile(name)
    _forget_key(name)
    _write_profiles({other: profile for other, profile in profiles().items() if other != name})


def _saved_keys() -> dict[str, str]:
    """Read the saved keys, by profile."""
    keys = _read(_keys_path(), private=True)
    for name, key in keys.items():
        if not isinstance(key, str):
            raise Failure(f"the API key of profile {name} in {_keys_path()} is not text. Write it in quotes")
    return dict(keys)


def _forget_key(name: str) -> Mapping[str, str]:
    """Remove the saved key of a profile, and return the others."""
    keys = _saved_keys()
    if keys.pop(name, None) is not None:
        _write_keys(keys)
    return keys


def check_name(name: str) -> None:
    """Check the name of a new profile. Raises click.BadParameter."""
    if not _NAME.match(name):
        raise click.BadParameter(f"{name!r} may have 1 to 64 letters, digits, _ and -", param_hint="NAME")


def _write_profiles(by_name: Mapping[str, Profile]) -> None:
    sections = []
    for name, profile in by_name.items():
        values = [f"{key} = {_text(value)}\n" for key in _KEYS if (value := getattr(profile, key))]
        header = name if _NAME.match(name) else _text(name)  # others are written by hand
        sections.append(f"[{header}]\n{''.join(values)}")
    _write(_profiles_path(), "\n".join(sections))


def _write_keys(keys: Mapping[str, str]) -> None:
    _write(_keys_path(), "".join(f"{_text(name)} = {_text(key)}\n" for name, key in keys.items()))


def _folder() -> Path:
    return Path(click.get_app_dir("penstock"))


def _profiles_path() -> Path:
    return _folder() / "profiles.toml"


def _keys_path() -> Path:
    return _folder() / "api-keys.toml"


def _read(path: Path, *, private: bool = False) -> Mapping[str, Any]:
    """Read a file; an empty one if it isn't there. A private one must not be readable by others."""
    try:
        with path.open("rb") as file:
            if private and os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise Failure(f"other users can read the API keys in {path}. Change that: chmod 600 {path}")
            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        # Not with the error's own text: it may quote a key.
        why = "it is not TOML" if private else f"it is not TOML: {error}"
        raise Failure(f"{path} cannot be read: {why}. Correct it, or delete it and add the profiles again") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{path} cannot be read: {_why(error)}") from None


def _why(error: OSError | UnicodeDecodeError) -> str:
    """Say why a file can't be read, without what is in it."""
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


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
    """Format a TOML string; JSON's is one, too, but for the character DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
