"""The server: one port, its processes, its checks. Importing it without the extra ``server`` raises MissingExtra."""

from __future__ import annotations

from penstock.extras import require_server

require_server()
