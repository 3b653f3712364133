"""Map field names to the column names of a Lance dataset.

Lance keeps names that begin with an underscore for itself (``_rowid``, ``_rowaddr``, ``_distance``, ``_score`` …;
some are refused on write, others break a search), and Penstock's hidden columns begin with two. So a field whose name
begins with an underscore is stored with ``$`` in front: no field name may hold a ``$``, which makes this reversible,
and a name that a later Lance reserves is safe already. Everything else, ``$meta`` too, is stored as it is.
"""

from __future__ import annotations

ESCAPE = "$"


def stored_name(field_name: str) -> str:
    """The dataset's column for a field (or ``$meta``). Hidden columns are not fields: use their names as they are."""
    return ESCAPE + field_name if field_name.startswith("_") else field_name


def field_name(stored: str) -> str:
    """The field whose :func:`stored_name` is ``stored``."""
    return stored.removeprefix(ESCAPE) if stored.startswith(ESCAPE + "_") else stored


def quoted(field_name: str) -> str:
    """The column of a field in filter SQL: the stored name between backticks."""
    return f"`{stored_name(field_name)}`"
