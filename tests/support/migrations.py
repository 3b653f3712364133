"""Write a migration from what the tables in the code have and the migrations don't yet.

    make migration MESSAGE="Why, in a few words"

Look at what it wrote before you commit it; then dump what the last release had, as tests/catalog/released/README.md
says.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory

from penstock.catalog.database import CatalogDatabase, migrations

__all__ = ["write_migration"]


def write_migration(message: str) -> Path:
    """The new file in ``catalog/migrations/versions``, numbered after the last one."""
    config = migrations()
    last = ScriptDirectory.from_config(config).get_current_head()
    number = f"{int(last or 0) + 1:04d}"
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    with tempfile.TemporaryDirectory() as folder:
        database = CatalogDatabase(f"sqlite:///{folder}/catalog.db")
        database.migrate()
        try:
            database.run_migration(
                lambda: command.revision(config, message, autogenerate=True, rev_id=number), config
            )
        finally:
            database.close()
    (written,) = (Path(config.get_main_option("script_location") or "") / "versions").glob(f"{number}_*.py")
    return written


if __name__ == "__main__":
    print(write_migration(" ".join(sys.argv[1:])))
