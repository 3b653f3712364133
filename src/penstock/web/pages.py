"""Render pages, admit calls, and show errors: what every handler shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from penstock.access.admission import CallNames
from penstock.domain.access import Role
from penstock.domain.collections import Cluster
from penstock.domain.deadline import DeadlineExceeded
from penstock.domain.ids import parse_id
from penstock.errors import (
    AccessDenied,
    CatalogError,
    Conflict,
    NotFound,
    PenstockError,
    StorageError,
    TooManyAttempts,
    Transient,
    Unauthenticated,
)
from penstock.web import words
from penstock.web.page import OpenRoute, PageCall, PageReply, PageRoute, Visit, address, redirect
from penstock.web.services import WebServices
from penstock.web.tokens import CSRF_FIELD, ForgedForm, check_csrf, csrf_token

if TYPE_CHECKING:
    from jinja2 import Environment

_STATUSES: Sequence[tuple[type, int]] = (
    (TooManyAttempts, 429),
    (AccessDenied, 403),
    (NotFound, 404),
    (Conflict, 409),
    (CatalogError, 503),
    (StorageError, 503),
    (Transient, 503),
    (DeadlineExceeded, 503),
    (PenstockError, 400),
)
_TITLES = {403: "Not allowed", 404: "Not found", 409: "Not possible now", 429: "Please wait", 500: "Something broke"}


@cache
def _environment() -> Environment:
    # Many servers never render a page.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("penstock.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": words.number,
        "short": words.short_number,
        "size": words.size,
        "file_name": words.file_name,
        "seconds": words.seconds,
        "ago": words.ago,
        "exact": words.exact,
    }
    environment.globals |= {"plural": words.plural, "states": words.STATES}
    return environment


@dataclass(frozen=True, slots=True)
class Pages:
    """The page of a server: its services, and the templates. ``assets`` is the version of scripts and styles."""

    services: WebServices
    assets: str

    def show(self, visit: Visit, template: str, *, status: int = 200, **values: Any) -> PageReply:
        """Render a page of an admitted call; of a partial one its content only."""
        clusters = [
            cluster
            for cluster in self.services.list_clusters(visit.caller.org_id)
            if visit.caller.databases(Role.READER, cluster) != frozenset()
        ]
        frame = {
            "caller": visit.caller,
            "cluster": visit.cluster,
            "clusters": clusters,
            "problem": self.services.problem(),
            "link": partial(link, self.own_cluster(visit), visit.cluster),
            "may_write": visit.may(Role.WRITER),
        }
        return self._rendered(visit.call, template, status, **frame, **values)

    def show_open(self, call: PageCall, template: str, *, status: int = 200, **values: Any) -> PageReply:
        """Render a page without a caller: the login, an error before it."""
        return self._rendered(call, template, status, caller=None, problem=None, clusters=(), link=address, **values)

    def _rendered(self, call: PageCall, template: str, status: int, **values: Any) -> PageReply:
        text = (
            _environment()
            .get_template(template)
            .render(
                call=call,
                layout="partial.html" if call.partial else "layout.html",
                csrf=csrf_token(call.token),
                assets=self.assets,
                version=self.services.version,
                now=datetime.now(UTC).isoformat(timespec="milliseconds"),
                **values,
            )
        )
        return PageReply(content=text.encode(), status=status)

    def own_cluster(self, visit: Visit) -> str:
        """The id of the cluster of calls that name none."""
        return visit.caller.home(self.services.admission.cluster_id)

    def is_operator(self, visit: Visit) -> bool:
        """Whether the caller administers the server itself: what is of all orgs is for admins of its own cluster."""
        return visit.caller.may(Role.ADMIN, self.services.admission.clusters.get(self.services.admission.cluster_id))


def link(own: str, cluster: Cluster, path: str, /, **fields: str | int | None) -> str:
    """The address of a page in the same cluster."""
    return address(path, **fields, cluster=None if cluster.id == own else cluster.id)


def run(pages: Pages, route: PageRoute | OpenRoute, call: PageCall) -> PageReply:
    """Admit a call of the page and run its handler; a :class:`PenstockError` becomes a page.

    Raises:
        Exception: anything else that the handler raises.
    """
    visit: Visit | None = None
    try:
        if call.method == "POST":
            check_csrf(call.token, call.form.get(CSRF_FIELD))
        if isinstance(route, OpenRoute):
            return route.handler(call)
        with pages.services.admission.call(
            route.action, authorization=call.authorization, address=call.address, stores_entry=route.stores_entry
        ) as admitted:
            admitted.names = _names(call)
            admitted.enter(call.query.get("cluster") or call.form.get("cluster") or None)
            visit = Visit(call=call, admitted=admitted)
            return route.handler(visit)
    except Unauthenticated:
        back = _place_after_login(call)
        return redirect(address("/login", next="" if back == "/" else back))
    except (PenstockError, DeadlineExceeded) as error:
        if visit is None:
            return failure(pages, call, error)
        return pages.show(visit, "error.html", status=status_of(error), **_error_values(error))


def _place_after_login(call: PageCall) -> str:
    """The page that a login leads to: the one that was asked for; of a form or a part of a page, where it belongs."""
    if call.path.startswith("/import/") or (call.method == "POST" and call.path == "/import"):
        return "/import"
    return call.url() if call.method == "GET" else "/"


def _names(call: PageCall) -> CallNames:
    """The objects of a call, for the audit log."""
    return CallNames(
        database=call.arguments.get("database"),
        collection=call.arguments.get("collection"),
        job_id=parse_id(call.arguments.get("job", "")),
    )


def failure(pages: Pages, call: PageCall, error: Exception) -> PageReply:
    """The page of an error outside of any admitted call."""
    return pages.show_open(call, "error.html", status=status_of(error), **_error_values(error))


def status_of(error: Exception) -> int:
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def _error_values(error: Exception) -> dict[str, Any]:
    title = _TITLES.get(status_of(error), "That did not work")
    if isinstance(error, ForgedForm):
        title = "Please repeat"
    text = "The server took too long to answer. Try again" if isinstance(error, DeadlineExceeded) else str(error)
    return {"title": title, "message": text}
