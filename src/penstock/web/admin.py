"""``/admin``: keys, users, orgs, clusters, storage, health and the audit log, each as far as the caller may."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from penstock.access.cluster_keys import ClusterKeys
from penstock.access.cluster_users import ClusterUsers
from penstock.domain.access import Role
from penstock.domain.collections import Cluster, Org
from penstock.domain.durations import parse_duration
from penstock.domain.quotas import Quota, Usage
from penstock.errors import AccessDenied, PermissionDenied
from penstock.web.page import PageReply, PageRoute, Visit, address, redirect
from penstock.web.pages import Pages

TABS: Mapping[str, str] = {
    "keys": "Keys",
    "users": "Users",
    "orgs": "Orgs",
    "clusters": "Clusters",
    "storage": "Storage",
    "health": "Health",
    "audit": "Audit",
    "access": "What I may do",
}
_CONFIRMED = ("revoke-key", "drop-user")
_AUDIT_PAGE = 100
_MAX_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgRow:
    """An org with its own limits and what it uses now."""

    org: Org
    quota: Quota
    usage: Usage


def routes(pages: Pages) -> tuple[PageRoute, ...]:
    services = pages.services
    keys, users = ClusterKeys(services.accounts), ClusterUsers(services.accounts)
    contents: Mapping[str, Callable[[Pages, Visit], dict[str, Any]]] = {
        "keys": lambda pages, visit: {"keys": keys.list(visit.caller, visit.cluster)},
        "users": lambda pages, visit: {"users": users.list(visit.caller, visit.cluster)},
        "orgs": _orgs,
        "clusters": _clusters,
        "storage": _storage,
        "health": _health,
        "audit": _audit,
        "access": lambda pages, visit: {"grants": visit.caller.grants},
    }

    def show(visit: Visit) -> PageReply:
        tab = visit.query.get("tab", "keys")
        return show_tab(visit, tab if tab in TABS else "keys")

    def show_tab(visit: Visit, tab: str, **values: Any) -> PageReply:
        refusal = ""
        try:
            values |= contents[tab](pages, visit)
        except AccessDenied as denied:
            refusal = str(denied)
        return pages.show(
            visit,
            "admin.html",
            tab=tab,
            tabs=TABS,
            refusal=refusal,
            roles=list(Role),
            is_operator=pages.is_operator(visit),
            **{"secret": "", **values},  # nosec B105
        )

    def change(tab: str, do: Callable[[Visit], object]) -> Callable[[Visit], PageReply]:
        """A handler that makes a change, and returns to its tab."""

        def handle(visit: Visit) -> PageReply:
            do(visit)
            return redirect(address("/admin", tab=tab, cluster=visit.form.get("cluster")))

        return handle

    def create_key(visit: Visit) -> PageReply:
        text = visit.form.get("lifetime")
        created = keys.create(
            visit.caller,
            visit.cluster,
            visit.form.get("name"),
            visit.form.get("role"),
            database=visit.form.get("database") or None,
            lifetime=parse_duration(text) if text else None,
        )
        # Shown once, in the answer to the form: not by a redirection, whose address could be kept.
        return show_tab(visit, "keys", secret=created.secret)

    def confirm(visit: Visit) -> PageReply:
        verb, name = visit.call.arguments["verb"], visit.query.get("name")
        if verb not in _CONFIRMED:
            # The address of a form's answer, opened again: a new key, for one, was shown there.
            tab = "users" if "user" in verb or "role" in verb else "keys"
            return redirect(address("/admin", tab=tab, cluster=visit.query.get("cluster")))
        return pages.show(visit, "confirm_admin.html", verb=verb, name=name, target=visit.query.get("id") or name)

    def change_route(path: str, action: str, tab: str, do: Callable[[Visit], object]) -> PageRoute:
        return PageRoute(method="POST", path=f"/admin/{path}", handler=change(tab, do), action=action)

    return (
        PageRoute(method="GET", path="/admin", handler=show, action="admin.describe"),
        PageRoute(method="GET", path="/admin/{verb}", handler=confirm, action="admin.describe"),
        PageRoute(method="POST", path="/admin/create-key", handler=create_key, action="key.create"),
        change_route(
            "revoke-key",
            "key.revoke",
            "keys",
            lambda visit: keys.revoke(visit.caller, visit.cluster, visit.form.get("target")),
        ),
        change_route(
            "create-user",
            "user.create",
            "users",
            lambda visit: users.create(
                visit.caller, visit.cluster, visit.form.get("name"), visit.form.raw("password")
            ),
        ),
        change_route(
            "drop-user",
            "user.drop",
            "users",
            lambda visit: users.drop(visit.caller, visit.cluster, visit.form.get("target")),
        ),
        change_route(
            "grant-role",
            "user.grant_role",
            "users",
            lambda visit: users.grant_role(
                visit.caller, visit.cluster, visit.form.get("name"), visit.form.get("role")
            ),
        ),
        change_route(
            "revoke-role",
            "user.revoke_role",
            "users",
            lambda visit: users.revoke_role(
                visit.caller, visit.cluster, visit.form.get("name"), visit.form.get("role")
            ),
        ),
    )


def _require_operator(pages: Pages, visit: Visit, subject: str) -> None:
    if not pages.is_operator(visit):
        raise PermissionDenied(
            f"{subject} of the whole server is for admins of its own cluster. Ask its operator",
            caller=visit.caller.name,
            role=Role.ADMIN.value,
        )


def _orgs(pages: Pages, visit: Visit) -> dict[str, Any]:
    """All orgs for an operator, the caller's own for an admin of the cluster."""
    visit.caller.require(Role.ADMIN, visit.cluster)
    services = pages.services
    orgs: Sequence[Org] = (
        services.orgs.list() if pages.is_operator(visit) else [services.orgs.get(visit.cluster.org_id)]
    )
    return {
        "orgs": [
            OrgRow(org=org, quota=services.quotas.get(org.id), usage=services.quotas.usage(org.id)) for org in orgs
        ]
    }


def _clusters(pages: Pages, visit: Visit) -> dict[str, Any]:
    visible: Sequence[Cluster] = [
        cluster
        for cluster in pages.services.list_clusters(visit.caller.org_id)
        if visit.caller.may(Role.READER, cluster)
    ]
    return {"rows": [(cluster, len(pages.services.databases.list(cluster.id))) for cluster in visible]}


def _storage(pages: Pages, visit: Visit) -> dict[str, Any]:
    """Where this server reads from and stores to, for operators; the caller's own roots for all."""
    is_operator = pages.is_operator(visit)
    return {
        "roots": pages.services.roots if is_operator else visit.caller.roots,
        "stores": pages.services.stores if is_operator else (),
    }


def _health(pages: Pages, visit: Visit) -> dict[str, Any]:
    _require_operator(pages, visit, "the health")
    findings = pages.services.examine()
    ranks = {"fail": 0, "warn": 1}
    return {"findings": sorted(findings, key=lambda finding: ranks.get(str(finding.health), 2))}


def _audit(pages: Pages, visit: Visit) -> dict[str, Any]:
    """The audit log: all of it for an operator, that of the cluster for its admins."""
    page = max(1, visit.query.number("page", 1, _MAX_PAGE))
    is_operator = pages.is_operator(visit)
    if not is_operator:
        visit.caller.require(Role.ADMIN, visit.cluster)
    until = _time(visit.query.get("until")) or datetime.now(UTC)
    entries = pages.services.audit_log.newest(
        _AUDIT_PAGE + 1,
        (page - 1) * _AUDIT_PAGE,
        until=until if page > 1 else None,
        org_id=None if is_operator else visit.caller.org_id,
        cluster_id=None if is_operator else visit.cluster.id,
    )
    return {
        "entries": entries[:_AUDIT_PAGE],
        "has_next": len(entries) > _AUDIT_PAGE and page < _MAX_PAGE,
        "page": page,
        "page_size": _AUDIT_PAGE,
        "until": until.isoformat(timespec="milliseconds"),
    }


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
