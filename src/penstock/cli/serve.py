"""``penstock serve``."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import click

from penstock.cli.server_options import settings_options
from penstock.settings import load_settings


@click.command()
@settings_options
def serve(config: Path | None, **flags: object) -> None:
    """Run the server.

    It listens on 127.0.0.1:19530 by default, answers /healthz once it is ready, and stops on SIGTERM or Ctrl-C;
    running jobs are resumed by the next start.
    """
    settings = load_settings(flags, config)
    # Several searches multiply matrices at the same time, each in a thread of its own. OpenBLAS's own threads would
    # spin beside them: four queries over 100,000 x 100 took 17 ms of processor time by one, 28 to 105 ms by two.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Nearly all that the imports make lives to the end: collections meanwhile took a sixth of the start.
    # The server freezes what is there, and enables the collector, before it answers.
    gc.disable()
    try:
        # Imported only now, so that wrong settings are reported at once.
        from penstock.server import serve as server
        from penstock.server.assembly import build_services
        from penstock.server.process.scrub_environment import scrub_environment

        server.serve(scrub_environment(settings, os.environ), build_services, click.echo)
    finally:
        gc.enable()
