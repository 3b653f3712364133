"""The columns that a download of rejected rows has in addition to those of the file; a replay leaves them out."""

from __future__ import annotations

ERROR = "_error"
"""Why the row was rejected."""
ERROR_FILE, ERROR_ROW, ERROR_OFFSET = "_error_file", "_error_row", "_error_offset"
"""Where it was: the file, the row counted from 0, and the byte where it begins, in files of text."""
ERROR_KEY = "_error_key"
"""Its primary key, as text."""
ERROR_SOURCE = "_error_source"
"""The text of the row, where that could not be read as columns."""

ERROR_COLUMNS = (ERROR, ERROR_FILE, ERROR_ROW, ERROR_OFFSET, ERROR_KEY, ERROR_SOURCE)
