"""``penstock backup`` and ``penstock restore``."""

from __future__ import annotations

from pathlib import Path

import click

from penstock.cli.errors import FAILED
from penstock.cli.server_options import settings_options
from penstock.settings import load_settings


def _report(line: str) -> None:
    click.echo(line, err=True)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@settings_options
def backup(folder: Path, config: Path | None, **flags: object) -> None:
    """Back up a server into the new folder FOLDER, while it runs or not.

    Uses the settings of the server. Copies the catalog, the tables of all collections with the staged files of
    unfinished jobs, and the encryption key if it is in the data dir. Calls that write wait for a moment; imports go
    on. What is copied belongs to one moment: a server that starts on it resumes its jobs as after a power failure.
    The backup has the rights of the server in it: keep it as safe as the data dir.
    """
    settings = load_settings(flags, config)
    from penstock.server.backup import create_backup

    manifest = create_backup(settings, folder, _report)
    click.echo(
        f"Backed up {len(manifest.tables):,} collections into {folder}: "
        f"{len(manifest.files):,} files, {manifest.size:,} bytes"
    )


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@settings_options
@click.pass_context
def restore(context: click.Context, /, folder: Path, config: Path | None, **flags: object) -> None:
    """Restore the backup in FOLDER into a new data dir, then check it.

    Uses the settings of the server that will run on it: data dir, store and catalog must be empty. Every file is
    compared with its checksum before anything is written. At the end the checks of `penstock doctor` run; the exit
    code is 1 if one failed. A restore that was interrupted can be repeated.
    """
    settings = load_settings(flags, config)
    from penstock.server.backup import restore_backup
    from penstock.server.doctor import Health, examine

    manifest = restore_backup(settings, folder, _report)
    results = examine(settings)
    for result in results:
        if result.health is not Health.OK:
            click.echo(f"{result.health} {result.check}: {result.found}.\n  {result.remedy}.", err=True)
    click.echo(f"Restored {len(manifest.tables):,} collections of {manifest.created_at}. Start the server on it")
    if any(result.health is Health.FAIL for result in results):
        context.exit(FAILED)
