"""Entry point of the distribution ``penstock-import``, and the check for the foreign distribution ``penstock``.

The package index has an unrelated distribution named ``penstock``, which installs a package of the same name as this
one. Where both are installed, files of one replace files of the other, and an uninstall of either damages the other.
This module has a name of its own, so that it can be imported, and can report the collision, in every such mixture.
"""

from __future__ import annotations

import os
import re
import sys
import warnings

__all__ = ["collision", "main", "warn_of_collision"]

_FOREIGN = re.compile(r"penstock-(?P<version>\d[^-]*)(?:-py[\d.]+)?\.(?:dist|egg)-info\Z", re.IGNORECASE)
"""The metadata folder of the foreign distribution; that of this one is ``penstock_import-….dist-info``."""


def collision() -> str | None:
    """Describe the collision with the foreign distribution and its repair, or return None if there is none."""
    for folder in dict.fromkeys(sys.path):
        try:
            names = os.listdir(folder or ".")
        except OSError:  # an entry that is missing, or a zip file
            continue
        for name in names:
            if match := _FOREIGN.match(name):
                return (
                    f"an unrelated distribution 'penstock' {match['version']} is installed in {folder or '.'} beside "
                    "'penstock-import': both have a package 'penstock', and files of one replace files of the other. "
                    "Uninstall both, then install this one again: pip uninstall penstock penstock-import, and "
                    "pip install penstock-import, or the path of its wheel or checkout"
                )
    return None


def warn_of_collision() -> None:
    """Issue a RuntimeWarning if the foreign distribution is installed, too."""
    if (problem := collision()) is not None:
        warnings.warn(problem, RuntimeWarning, stacklevel=3)


def main() -> None:
    """Run the command line; a collision is a warning, or the error where it keeps the program from loading."""
    problem = collision()
    try:
        from penstock.cli.main import main as run
    except (ImportError, AttributeError):
        if problem is None:
            raise
        sys.exit(f"Error: {problem}")
    if problem is not None:
        print(f"Warning: {problem}", file=sys.stderr)
    run()


if __name__ == "__main__":
    main()
