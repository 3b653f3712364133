"""Keep secrets out of the environment that worker processes inherit."""

from __future__ import annotations

from collections.abc import MutableMapping
from contextlib import suppress

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from penstock.settings import Settings, settings_table

_AWS_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def scrub_environment(settings: Settings, environment: MutableMapping[str, str]) -> Settings:
    """Remove the secrets of the settings from the environment, which worker processes would inherit.

    Returns the settings, with the password of PostgreSQL if only the environment has it. Variables that libraries
    read by themselves and workers need, such as ``OTEL_EXPORTER_OTLP_HEADERS``, stay.
    """
    names = [row.environment for row in settings_table() if row.secret]
    names += ["PENSTOCK_CATALOG_URL", "PENSTOCK_API_KEY", "PENSTOCK_USER_PASSWORD"]
    if settings.s3_access_key is not None:
        names += _AWS_KEYS
    if settings.catalog_url is not None and (password := environment.get("PGPASSWORD")):
        with suppress(ArgumentError, ValueError):  # an invalid URL is reported when it is opened
            url = make_url(settings.catalog_url)
            if url.get_backend_name().startswith("postgres") and url.password is None:
                whole = url.set(password=password).render_as_string(hide_password=False)
                settings = settings.model_copy(update={"catalog_url": whole})
                names.append("PGPASSWORD")
    for name in names:
        environment.pop(name, None)
    return settings
