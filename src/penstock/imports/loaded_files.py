"""Files that a collection has the rows of already: skipped or refused by the option ``if_loaded``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.catalog.jobs.loaded_files import LoadedFile, LoadedFileRepository, identity_of
from penstock.domain.jobs import JobWarning
from penstock.errors import ImportRefused
from penstock.readers.base import InputFile

_MAX_NAMED = 20
"""Skipped files that warnings name."""


def without_loaded(
    files: Sequence[InputFile],
    collection_id: str,
    options: Mapping[str, str],
    history: LoadedFileRepository,
    warnings: list[JobWarning],
) -> list[InputFile]:
    """The files that are to be loaded; ``warnings`` collects those that are skipped.

    Looks at the jobs that have committed: of two that run at the same time neither knows the other's files.

    Raises:
        ImportRefused: a file was loaded before, and ``if_loaded`` is ``error``.
    """
    policy = options.get("if_loaded", "load")
    if policy not in ("skip", "error"):
        return list(files)
    loaded = loaded_among(files, collection_id, history)
    if loaded and policy == "error":
        number, match = min(loaded.items())
        more = f" (and {len(loaded) - 1:,} more files)" if len(loaded) > 1 else ""
        raise ImportRefused(
            f"file {files[number].name!r} was loaded into this collection by job {match.job_id} at "
            f"{match.loaded_at:%Y-%m-%d %H:%M:%S} UTC{more}. Leave it out, or set if_loaded to skip or load",
            file=files[number].name,
            job_id=match.job_id,
        )
    for number, match in sorted(loaded.items())[:_MAX_NAMED]:
        text = f"skipped file {files[number].name!r}: job {match.job_id} has loaded it"
        warnings.append(JobWarning(code="already_loaded", message=text))
    if len(loaded) > _MAX_NAMED:
        text = f"skipped {len(loaded) - _MAX_NAMED:,} more files that were loaded before"
        warnings.append(JobWarning(code="already_loaded", message=text))
    return [file for number, file in enumerate(files) if number not in loaded]


def loaded_among(
    files: Sequence[InputFile], collection_id: str, history: LoadedFileRepository
) -> dict[int, LoadedFile]:
    """The files that were loaded before, by their position."""
    identities = [identity_of([location.to_json() for location in file.locations]) for file in files]
    matches = history.find(collection_id, list({identity for identity in identities if identity is not None}))
    return {
        number: matches[identity] for number, identity in enumerate(identities) if identity and identity in matches
    }
