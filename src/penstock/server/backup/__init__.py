"""Back up and restore a server: its catalog, its tables, its encryption key.

A backup is a state that a power failure could have left. While writes to the catalog are locked for a moment, the
newest version of each table is noted and a snapshot of the catalog is taken; both are copied after that. No table can
be ahead of the catalog by more than one step, since each step of a job is recorded before and after it; and a server
that starts on such a state recovers as it does after a crash. A copy of the catalog first, or of the tables first,
would not do: it would lack rows of jobs that it calls completed, or have rows of jobs that it does not know.
"""

from __future__ import annotations

from penstock.server.backup.create import create_backup
from penstock.server.backup.manifest import BackupManifest, read_manifest
from penstock.server.backup.restore import restore_backup

__all__ = ["BackupManifest", "create_backup", "read_manifest", "restore_backup"]
