"""Interface between the page's handlers and the HTTP server: calls, replies, routes.

As in :mod:`penstock.wire.http`, handlers use no web framework and no asyncio: a handler is a plain function from
:class:`Visit` to :class:`PageReply`, run in a thread. The server reads cookies and forms, and renders nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode

from penstock.access.admission import AdmittedCall
from penstock.collections.result_memory import MemoryReservation
from penstock.domain.access import Caller, Role
from penstock.domain.collections import Cluster
from penstock.domain.parse_int import number_of_digits

MAX_FIELDS = 5000
"""Fields of one form: a mapping of a thousand columns has some for each."""


class Values:
    """The fields of a form or a query: names may repeat."""

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        self.pairs = pairs
        self._last = dict(pairs)

    @classmethod
    def parse(cls, text: str) -> Values:
        """Parse ``a=1&b=2``. Raises ValueError: it has more than :data:`MAX_FIELDS` fields."""
        return cls(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))

    def get(self, name: str, default: str = "") -> str:
        """The last value of a name, without blanks around it."""
        return self._last.get(name, default).strip()

    def raw(self, name: str) -> str:
        """The last value of a name as it was sent: blanks belong to a password."""
        return self._last.get(name, "")

    def all(self, name: str) -> Sequence[str]:
        return [value for key, value in self.pairs if key == name]

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number from 0 to ``most``; ``default`` for anything else."""
        number = number_of_digits(self.get(name))
        return number if number is not None and 0 <= number <= most else default


@dataclass(frozen=True, slots=True, kw_only=True)
class PageCall:
    """One HTTP request to the page, completely read.

    ``token`` is the browser's own secret: that of its session or, without one, of its anonymous cookie. ``partial``
    says that a script asks for the page's content without its frame.
    """

    method: str
    path: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    query: Values = field(default_factory=Values)
    form: Values = field(default_factory=Values)
    token: str
    authorization: str = ""
    address: str = ""
    origin: str = ""
    theme: str = ""
    partial: bool = False
    request_id: str = ""

    def url(self, **changes: str | int | None) -> str:
        """This call's address with other query fields; None and "" remove one."""
        return address(self.path, **(dict(self.query.pairs) | changes))


def address(path: str, /, **fields: str | int | None) -> str:
    """A path and its query, without the fields that are None or ""; 0 is a value, such as the key of a first row."""
    query = urlencode({name: value for name, value in fields.items() if value not in (None, "")})
    return f"{path}?{query}" if query else path


@dataclass(frozen=True, slots=True, kw_only=True)
class PageReply:
    """One HTTP response: a page, or with ``location`` a redirection.

    ``token`` sets the session's cookie, "" deletes it, None leaves it as it is. ``held`` is the memory reserved for
    the content: whatever sends or drops the reply releases it.
    """

    content: bytes = b""
    status: int = 200
    location: str | None = None
    token: str | None = None
    media_type: str = "text/html; charset=utf-8"
    filename: str | None = None
    held: MemoryReservation | None = None

    def release(self) -> None:
        if self.held is not None:
            self.held.release()


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """An admitted call of the page: its caller and its cluster."""

    call: PageCall
    admitted: AdmittedCall

    @property
    def caller(self) -> Caller:
        return self.admitted.caller

    @property
    def cluster(self) -> Cluster:
        return self.admitted.cluster

    @property
    def query(self) -> Values:
        return self.call.query

    @property
    def form(self) -> Values:
        return self.call.form

    def may(self, role: Role, database: str | None = None) -> bool:
        return self.caller.may(role, self.cluster, database)

    def require(self, role: Role, database: str | None = None) -> None:
        """Raises PermissionDenied."""
        self.admitted.authorize(role, database)


Handler = Callable[[Visit], PageReply]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRoute:
    """A path and method with its handler.

    ``action`` names the call in the audit log. ``stores_entry``: the use case writes the audit entry of its success
    itself. ``read_only`` handlers only read the catalog, by indexes. ``timeout`` is in seconds; None is the server's.
    """

    method: str
    path: str
    handler: Handler
    action: str
    stores_entry: bool = False
    read_only: bool = False
    timeout: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRoute:
    """A path and method whose handler needs no login."""

    method: str
    path: str
    handler: Callable[[PageCall], PageReply]


def redirect(location: str, *, token: str | None = None) -> PageReply:
    """The answer to a form: look at the page it leads to."""
    return PageReply(status=303, location=location, token=token)
