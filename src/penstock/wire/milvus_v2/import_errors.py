"""``/v2/vectordb/jobs/import/errors`` and ``…/errors/download``, this server's own: what a job rejected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from penstock.domain.access import Caller
from penstock.errors import InvalidParameter
from penstock.imports.rejections import ErrorFilter, ErrorGroup, ErrorPage, Rejections, RowError
from penstock.wire.decoding import Fields
from penstock.wire.http import Reply

MEDIA_TYPES = {"jsonl": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}
GROUP_KEYS = ("rule", "field", "file")


def errors(rejections: Rejections, fields: Fields, cluster_id: str, job_id: int, caller: Caller) -> Mapping[str, Any]:
    """``data`` of the call ``errors``: a page of them, or with ``groupBy`` their groups."""
    where = ErrorFilter(file=fields.string("file"), field=fields.string("field"), rule=fields.string("rule"))
    if (group_by := fields.strings("groupBy")) is not None:
        if sorted(group_by) != sorted(GROUP_KEYS):
            raise InvalidParameter(
                f"groupBy is the list {', '.join(GROUP_KEYS)}, not {', '.join(group_by)[:100]}", key="groupBy"
            )
        groups = rejections.groups(cluster_id, job_id, caller, where=where)
        return {"jobId": str(job_id), "groups": [_group(group) for group in groups]}
    page = rejections.page(
        cluster_id,
        job_id,
        caller,
        limit=100 if (limit := fields.integer("limit")) is None else limit,
        cursor=fields.string("cursor"),
        where=where,
    )
    return _page(page, job_id)


def download(rejections: Rejections, fields: Fields, cluster_id: str, job_id: int, caller: Caller) -> Reply:
    """The rejected rows as a file."""
    name = fields.string("format") or "jsonl"
    content = rejections.download(cluster_id, job_id, caller, name)
    return Reply(content=content, media_type=MEDIA_TYPES[name])


def _page(page: ErrorPage, job_id: int) -> Mapping[str, Any]:
    return {
        "jobId": str(job_id),
        "rejectedRows": page.job.rejected_rows,
        "keptRows": page.kept_rows,
        "skippedFiles": page.job.skipped_files,
        "errors": _errors(page.errors),
        "cursor": page.cursor or "",
    }


def _group(group: ErrorGroup) -> Mapping[str, Any]:
    return {
        "rule": group.rule,
        "field": group.field,
        "file": group.file,
        "rows": group.rows,
        "examples": _errors(group.examples),
    }


def _errors(errors: Sequence[RowError]) -> list[Mapping[str, Any]]:
    return [
        {
            "file": error.file,
            "row": error.row,
            "offset": error.offset,
            "key": error.key,
            "wholeFile": error.is_of_file,
            "reasons": [reason.to_json() for reason in error.reasons],
            "source": error.source,
        }
        for error in errors
    ]
