"""Uploads: files that clients send to the server for their imports."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

UPLOAD = "upload"
"""The scheme of paths of uploads: ``upload://ID/name``."""
UPLOAD_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that a client uploads. ``size`` and ``sha256`` (hexadecimal) are those that the client announced."""

    id: str
    org_id: str
    name: str
    size: int
    sha256: str
    is_complete: bool
    expires_at: datetime

    @property
    def path(self) -> str:
        """The path that imports name it by."""
        return f"{UPLOAD}://{self.id}/{self.name}"
