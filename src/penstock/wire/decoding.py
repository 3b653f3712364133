"""Decode request bodies and query strings as leniently as released clients need.

Keys match without regard to case, unknown keys are ignored, ``null`` and ``""`` count as absent, and whole numbers
may come as ``10``, ``10.0`` or ``"10"``. Errors have the texts of the server that these clients are written for:
they name the Go type that it decodes into, so ``struct`` and the key's spelling are part of the wire.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import orjson

from penstock.domain.parameter_values import MAX_INT64, whole_number
from penstock.errors import InvalidParameter, MissingParameter, shorten
from penstock.imports.requests import StoreCredentials

_T = TypeVar("_T")
_SECRETS = frozenset({"accesskey", "secretkey", "token", "password", "secret"})
"""Keys whose values are left out of errors."""


class MalformedBody(InvalidParameter):
    """The body is not JSON, no JSON object, or a value in it has the wrong type."""

    code = "malformed_body"


class MissingField(MissingParameter):
    """Required keys of the body are absent. ``details``: ``struct``, ``keys``."""

    code = "missing_field"


def parse_object(body: bytes, struct: str) -> Fields:
    """Parse the JSON object in ``body``. Raises :class:`MalformedBody` for anything else, also an empty body.

    Nesting is bounded by the parser (1024 levels).
    """
    if not body.strip():
        raise MalformedBody("the request body should be nil, however {} is valid")
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(str(error)) from error
    if parsed is None:
        parsed = {}
    if not isinstance(parsed, dict):
        raise MalformedBody(f"json: cannot unmarshal {_kind(parsed)} into Go value of type httpserver.{struct}")
    return Fields(parsed, struct)


class Fields:
    """The keys of one request, read by name without regard to case.

    Every getter returns None for an absent key. ``raw`` is the parsed object, for the few keys that are
    case-sensitive (rows, vectors).
    """

    def __init__(self, raw: Mapping[str, Any], struct: str) -> None:
        self.raw = raw
        self.struct = struct
        self._values = {key.lower(): value for key, value in raw.items() if value is not None and value != ""}

    def __contains__(self, key: str) -> bool:
        return key.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def sent(self, key: str) -> bool:
        """Whether the key is present, also with ``null`` or ``""``."""
        return any(name.lower() == key.lower() for name in self.raw)

    def value(self, key: str) -> Any:
        """The value, of any type."""
        return self._values.get(key.lower())

    def require(self, *keys: str) -> None:
        """Raise one :class:`MissingField` that names every absent key."""
        absent = [key for key in keys if key not in self]
        if absent:
            raise MissingField(
                "\n".join(self._missing_text(key) for key in absent), struct=self.struct, keys=tuple(absent)
            )

    def string(self, key: str) -> str | None:
        return self._typed(key, "string", str)

    def required_string(self, key: str) -> str:
        self.require(key)
        return self.string(key) or ""

    def text(self, key: str) -> str | None:
        """A string or an integer as text, for ids, which clients send both ways."""
        value = self.value(key)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return self.string(key)
        if isinstance(value, str):
            return value
        number = whole_number(value)
        if number is None:
            raise self.mismatch(key, value, "string")
        return str(number)

    def boolean(self, key: str) -> bool | None:
        value = self.value(key)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        return self._typed(key, "bool", bool)

    def integer(self, key: str, *, strict: bool = False) -> int | None:
        """An integer; with ``strict`` a string is refused, as in Milvus's data plane.

        Raises:
            MalformedBody: it is not an integer or beyond 64 bits.
        """
        value = self.value(key)
        if value is None:
            return None
        number = None if strict and isinstance(value, str) else whole_number(value)
        if number is None or abs(number) > MAX_INT64:
            raise self.mismatch(key, value, "int32" if strict else "int64")
        return number

    def number(self, key: str) -> float | None:
        value = self.value(key)
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            return value
        raise self.mismatch(key, value, "float64")

    def mapping(self, key: str) -> Mapping[str, Any] | None:
        """An object; its own keys keep their case."""
        return self._typed(key, "map[string]interface {}", dict)

    def fields(self, key: str, struct: str) -> Fields | None:
        """A nested object as :class:`Fields`."""
        value = self._typed(key, f"httpserver.{struct}", dict)
        return None if value is None else Fields(value, struct)

    def list(self, key: str) -> Sequence[Any] | None:
        return self._typed(key, "[]interface {}", list)

    def strings(self, key: str) -> Sequence[str] | None:
        """A list of strings; a ``null`` in it is ``""``."""
        values = self._typed(key, "[]string", list)
        return None if values is None else [self._item(key, value) for value in values]

    def string_lists(self, key: str) -> Sequence[Sequence[str]] | None:
        """A list of lists of strings; absent names in it are left out."""
        groups = self._typed(key, "[][]string", list)
        if groups is None:
            return None
        for group in groups:
            if group is not None and not isinstance(group, list):
                raise self.mismatch(key, group, "[]string")
        return [[name for name in (self._item(key, value) for value in group or ()) if name] for group in groups]

    def mismatch(self, key: str, value: object, go_type: str) -> MalformedBody:
        """The error for a value of the wrong type."""
        return MalformedBody(
            f"json: cannot unmarshal {_kind(value)} into Go struct field {self.struct}.{key} of type {go_type}",
            key=key,
            value="[redacted]" if key.lower() in _SECRETS else shorten(value),
        )

    def _item(self, key: str, value: object) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.mismatch(key, value, "string")
        return value

    def _typed(self, key: str, go_type: str, kind: type[_T]) -> _T | None:
        value = self.value(key)
        if value is not None and not isinstance(value, kind):
            raise self.mismatch(key, value, go_type)
        return value

    def _missing_text(self, key: str) -> str:
        name = _go_name(key)
        return f"Key: '{self.struct}.{name}' Error:Field validation for '{name}' failed on the 'required' tag"


def _kind(value: object) -> str:
    """Go's name of a JSON value's type."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _go_name(key: str) -> str:
    """``collectionName`` → ``CollectionName``, ``jobId`` → ``JobID``: the field's name in the reference server."""
    name = key[:1].upper() + key[1:]
    return name[:-2] + "ID" if name.endswith("Id") else name


def store_credentials(fields: Fields) -> StoreCredentials:
    """The caller's credentials for an object store."""
    return StoreCredentials(
        access_key=fields.string("accessKey") or "",
        secret_key=fields.string("secretKey") or "",
        token=fields.string("token") or "",
    )
