"""``penstock doctor``: look at everything a server stands on, whether one runs or not, and change nothing.

But for :func:`adopt`, which is asked for.
"""

from __future__ import annotations

from penstock.server.doctor.adopt import adopt
from penstock.server.doctor.checks import examine
from penstock.server.doctor.result import CheckResult, Health

__all__ = ["CheckResult", "Health", "adopt", "examine"]
