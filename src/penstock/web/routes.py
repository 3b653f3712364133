"""All routes of the page. Register a new family of routes here."""

from __future__ import annotations

from penstock.web import admin, collection, collections, job, jobs, login, searching, wizard
from penstock.web.page import OpenRoute, PageRoute
from penstock.web.pages import Pages


def page_routes(pages: Pages) -> tuple[PageRoute | OpenRoute, ...]:
    return (
        *jobs.routes(pages),
        *job.routes(pages),
        *collections.routes(pages),
        *searching.routes(pages),
        *collection.routes(pages),
        *wizard.routes(pages),
        *admin.routes(pages),
        *login.routes(pages),
    )
