"""``/login`` and ``/logout``: a key or a user's password is typed once and becomes a session."""

from __future__ import annotations

import re
from base64 import b64encode

from penstock.errors import AccessDenied
from penstock.web.page import OpenRoute, PageCall, PageReply, redirect
from penstock.web.pages import Pages, status_of

_LOCAL = re.compile(r"/(?![/\\])[^\s\\]*\Z")


def routes(pages: Pages) -> tuple[OpenRoute, ...]:
    services = pages.services

    def form(call: PageCall) -> PageReply:
        if not services.authentication.is_enabled:
            return redirect("/")
        return pages.show_open(call, "login.html", error="", user="", next=_local(call.query.get("next")))

    def login(call: PageCall) -> PageReply:
        user = call.form.get("user")
        secret = call.form.raw("secret") if user else call.form.get("secret")
        target = _local(call.form.get("next"))
        try:
            caller = services.authentication.identify(_header(user, secret), call.address)
        except AccessDenied as error:
            return pages.show_open(
                call, "login.html", status=status_of(error), error=str(error), user=user, next=target
            )
        return redirect(target, token=services.sessions.begin(caller))

    def logout(call: PageCall) -> PageReply:
        services.sessions.end(call.token)
        return redirect("/login", token="")  # nosec B106

    return (
        OpenRoute(method="GET", path="/login", handler=form),
        OpenRoute(method="POST", path="/login", handler=login),
        OpenRoute(method="POST", path="/logout", handler=logout),
    )


def _header(user: str, secret: str) -> str:
    """The ``Authorization`` header of what was typed: a user and a password, or a key alone."""
    if user:
        return "Basic " + b64encode(f"{user}:{secret}".encode()).decode()
    return f"Bearer {secret}"


def _local(target: str) -> str:
    """A path of this server; the home page for anything else."""
    return target if _LOCAL.match(target) else "/"
