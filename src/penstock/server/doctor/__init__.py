"""``penstock doctor``: read-only diagnosis of everything a server depends on, whether one runs or not.

Only :func:`adopt`, an option of its own, makes changes.
"""

from __future__ import annotations

from penstock.server.doctor.adopt import adopt
from penstock.server.doctor.checks import examine
from penstock.server.doctor.result import CheckResult, Health

__all__ = ["CheckResult", "Health", "adopt", "examine"]
