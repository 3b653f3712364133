"""Protection of forms against other sites, and the policy that browsers apply to the page.

A form carries a token that only this browser's own pages have: the hash of its secret cookie, which is ``HttpOnly``
and ``SameSite=Strict``. So another site can neither send the cookie nor know the token.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from penstock.errors import AccessDenied

CSRF_FIELD = "csrf"
PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""Nothing inline, nothing from elsewhere."""


class ForgedForm(AccessDenied):
    """A form was not sent by a page that this browser has open, or by one that is older than its login."""

    code = "forged_form"


def new_page_token() -> str:
    """The secret of a browser without a session."""
    return secrets.token_urlsafe(32)


def csrf_token(token: str) -> str:
    """The token of forms for the browser with this secret."""
    return hashlib.sha256(f"csrf:{token}".encode()).hexdigest()


def check_csrf(token: str, sent: str) -> None:
    """Raises ForgedForm unless the form's token is that of the browser's secret."""
    # As bytes: texts that are compared so must be of ASCII, and this one is of anybody.
    if not token or not hmac.compare_digest(csrf_token(token).encode(), sent.encode()):
        raise ForgedForm(
            "this form is older than your login, or another site sent it. Open the page again and repeat"
        )
