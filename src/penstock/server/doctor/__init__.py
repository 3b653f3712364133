"""``penstock doctor``: look at everything a server stands on, whether one runs or not, and change nothing."""

from __future__ import annotations

from penstock.server.doctor.examine import examine
from penstock.server.doctor.finding import Finding, Health

__all__ = ["Finding", "Health", "examine"]
