"""All settings of a server, in one typed table.

Each field of :class:`Settings` is a flag (``--list-window``), an environment variable (``PENSTOCK_LIST_WINDOW``) and
a key of the TOML file that ``--config`` names (``list_window``), in this order of precedence; then comes the default.
Secrets have no flag, since any user of the machine can read a process's arguments. The help text, unit and reason
of each field are what ``--help`` and the documentation print (:func:`settings_table`). Relative paths are taken
from the working directory.
"""

from penstock.settings.loading import load_settings
from penstock.settings.model import Settings
from penstock.settings.names import flag_of
from penstock.settings.renamed import RENAMED_SETTINGS
from penstock.settings.table import Setting, row_of, settings_table

__all__ = ["RENAMED_SETTINGS", "Setting", "Settings", "flag_of", "load_settings", "row_of", "settings_table"]
