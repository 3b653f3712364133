"""``penstock completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands, options and names in SHELL: bash, zsh or fish.

    Collections and jobs are those of the server that PENSTOCK_URL or a profile names, if it answers within a second.

    For bash, add a line to ~/.bashrc: eval "$(penstock completion bash)"; the same for zsh in ~/.zshrc. For fish:
    penstock completion fish > ~/.config/fish/completions/penstock.fish
    """
    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(context.find_root().command, {}, "penstock", "_PENSTOCK_COMPLETE").source())
