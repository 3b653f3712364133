"""``/jobs/<id>``: one job, and its actions, each with a page that says beforehand what it will do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from penstock.domain.access import Role
from penstock.domain.ids import parse_id
from penstock.domain.jobs import FileState, ImportFile, ImportJob, JobHistory, JobState
from penstock.domain.verification import verification_text
from penstock.errors import InvalidParameter, JobNotFound
from penstock.imports.rejections import ErrorGroup, ErrorPage
from penstock.imports.requests import JobDetails, ReplayImport, StoreCredentials
from penstock.web.commands import Copies, command, copies
from penstock.web.page import PageReply, PageRoute, Visit, address, redirect
from penstock.web.pages import Pages
from penstock.web.progress import JobView, view
from penstock.web.throughput import Throughput
from penstock.web.timeline import stages
from penstock.web.words import plural

TABS: Mapping[str, str] = {"": "Overview", "files": "Files", "errors": "Errors", "rejects": "Rejects", "raw": "Raw"}
REJECT_TYPES = {"jsonl": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}
FILES_PER_PAGE = 100
_MAX_PAGE = 1_000_000
_REJECTS = 100
_LINKED_FILES = 20
"""Paths that an address holds."""


@dataclass(frozen=True, slots=True)
class Action:
    """What can be done with a job now. ``consequence`` says what it will do, in numbers."""

    verb: str
    title: str
    consequence: str
    is_destructive: bool = False
    needs_keys: bool = False
    takes_files: bool = False
    asks_name: bool = False


def routes(pages: Pages) -> tuple[PageRoute, ...]:
    imports = pages.services.imports
    throughput = Throughput()

    def details_of(visit: Visit) -> JobDetails:
        return imports.get(visit.cluster.id, job_id_of(visit), visit.caller)

    def show(visit: Visit) -> PageReply:
        details = details_of(visit)
        tab = visit.query.get("tab") if visit.query.get("tab") in TABS else ""
        job = details.job
        history = imports.history(visit.cluster.id, job.id, visit.caller)
        page = max(1, visit.query.number("page", 1, _MAX_PAGE))
        files = details.files[(page - 1) * FILES_PER_PAGE : page * FILES_PER_PAGE]
        return pages.show(
            visit,
            "job.html",
            view=view(job),
            details=details,
            files=files,
            file_states=_file_states(details.files),
            page=page,
            files_per_page=FILES_PER_PAGE,
            tab=tab,
            tabs=TABS,
            stages=stages(job, history, view(job).state.kind),
            verified="" if job.verification is None else verification_text(job.verification),
            history=history,
            server=_server(history),
            points=throughput.observe(job),
            actions=_actions(view(job)) if visit.may(Role.WRITER, job.database) else (),
            copies=_copies(visit.cluster.id, job),
            raw=_raw(pages, visit, job) if tab == "raw" else "",
            failure=_failure(details),
            without_bad_rows=_without_bad_rows(visit, details),
            groups=_groups(pages, visit, job) if tab == "errors" else (),
            rejects=_rejects(pages, visit, job) if tab == "rejects" else None,
        )

    def download(visit: Visit) -> PageReply:
        job_id, kind = job_id_of(visit), visit.call.arguments["format"]
        content = pages.services.rejections.download(visit.cluster.id, job_id, visit.caller, kind)
        return PageReply(content=content, media_type=REJECT_TYPES[kind], filename=f"rejects-{job_id}.{kind}")

    def replay(visit: Visit) -> PageReply:
        request = ReplayImport(
            cluster_id=visit.cluster.id,
            job_id=job_id_of(visit),
            groups=[[path] for path in visit.form.get("paths").splitlines() if path.strip()],
            keys=_keys(visit),
            caller=visit.caller,
        )
        job = imports.replay(request)
        return redirect(address(f"/jobs/{job.id}", cluster=visit.form.get("cluster")))

    def confirm(visit: Visit) -> PageReply:
        details = details_of(visit)
        action = _action_named(details.job, visit.call.arguments["verb"])
        visit.require(Role.WRITER, details.job.database)
        return pages.show(visit, "confirm_job.html", job=details.job, action=action)

    def change(make: Callable[[Visit, int], object]) -> Callable[[Visit], PageReply]:
        def handle(visit: Visit) -> PageReply:
            job_id = job_id_of(visit)
            make(visit, job_id)
            return redirect(address(f"/jobs/{job_id}", cluster=visit.form.get("cluster")))

        return handle

    def retry(visit: Visit, job_id: int) -> object:
        return imports.retry(visit.cluster.id, job_id, _keys(visit), visit.caller)

    def revert(visit: Visit, job_id: int) -> object:
        job = imports.get(visit.cluster.id, job_id, visit.caller).job
        if visit.form.get("name") != job.collection:
            raise InvalidParameter(f"type the collection's name, {job.collection}, to revert the job", name="name")
        return imports.revert(visit.cluster.id, job_id, visit.caller)

    changes: Mapping[str, Callable[[Visit, int], object]] = {
        "abort": lambda visit, job_id: imports.abort(visit.cluster.id, job_id, visit.caller),
        "commit": lambda visit, job_id: imports.commit(visit.cluster.id, job_id, visit.caller),
        "retry": retry,
        "revert": revert,
    }
    return (
        PageRoute(method="GET", path="/jobs/{job}", handler=show, action="import.describe", read_only=True),
        PageRoute(method="GET", path="/jobs/{job}/rejects/{format}", handler=download, action="import.describe"),
        PageRoute(method="GET", path="/jobs/{job}/{verb}", handler=confirm, action="import.describe"),
        PageRoute(
            method="POST",
            path="/jobs/{job}/replay",
            handler=replay,
            action="import.replay",
            stores_entry=True,
        ),
        *(
            PageRoute(
                method="POST",
                path=f"/jobs/{{job}}/{verb}",
                handler=change(make),
                action=f"import.{verb}",
                stores_entry=True,
            )
            for verb, make in changes.items()
        ),
    )


def job_id_of(visit: Visit) -> int:
    """The id in the address of a job. Raises JobNotFound."""
    text = visit.call.arguments["job"]
    job_id = parse_id(text)
    if job_id is None:
        raise JobNotFound(f"import job does not exist, jobID={text[:40]}", job_id=text[:40])
    return job_id


def _keys(visit: Visit) -> StoreCredentials:
    """The keys of an object store that were typed into the confirmation."""
    return StoreCredentials(
        access_key=visit.form.get("access_key"),
        secret_key=visit.form.get("secret_key"),
        token=visit.form.get("token"),
    )


def _failure(details: JobDetails) -> Mapping[str, Any] | None:
    """Where a failed job failed: the facts of its first failed file that has some, with the file's name."""
    if details.job.state is not JobState.FAILED:
        return None
    for file in details.files:
        if file.error is not None:
            return {"file": file.name, **file.error}
    return None


def _without_bad_rows(visit: Visit, details: JobDetails) -> str:
    """The wizard for a failed job's files with ``on_error=skip_row``; empty if no row was the reason."""
    job, failure = details.job, _failure(details)
    paths = [file.name for file in details.files]
    if failure is None or failure.get("row") is None or len(paths) > _LINKED_FILES or " " in "".join(paths):
        return ""
    query = [("cluster", visit.query.get("cluster")), ("collection", f"{job.database}/{job.collection}")]
    pairs = [*query, ("on_error", "skip_row"), *(("paths", path) for path in paths)]
    return f"/import?{urlencode([(name, value) for name, value in pairs if value])}"


def _groups(pages: Pages, visit: Visit, job: ImportJob) -> Sequence[ErrorGroup]:
    return pages.services.rejections.groups(visit.cluster.id, job.id, visit.caller)


def _rejects(pages: Pages, visit: Visit, job: ImportJob) -> ErrorPage:
    cursor = visit.query.get("cursor") or None
    return pages.services.rejections.page(visit.cluster.id, job.id, visit.caller, limit=_REJECTS, cursor=cursor)


def _actions(shown: JobView) -> Sequence[Action]:
    """What the job's state allows, the likeliest first."""
    job = shown.job
    rows = plural(job.rows, "row")
    if job.state is JobState.UNCOMMITTED:
        return (
            Action("commit", "Commit", f"Makes {rows} visible in {job.collection}, all at once."),
            Action("abort", "Abort", f"Deletes {rows} that are staged. None of them is visible.", True),
        )
    if job.state is JobState.FAILED:
        text = "Resumes the job under the same id with what is missing."
        if shown.percent:
            text += f" The {shown.percent} % that it has done are kept where its files are unchanged."
        return (Action("retry", "Retry", text, needs_keys=job.has_credentials),)
    if job.state is JobState.COMPLETED and not job.is_dry_run:
        return (*_replays(job), _revert(job))
    if shown.is_live and not job.state.is_committed:
        staged = f" Deletes the {rows} read so far." if job.rows else ""
        text = f"Ends the job at {shown.percent} %.{staged} None of its rows is visible."
        return (Action("abort", "Abort", text, True),)
    return ()


def _revert(job: ImportJob) -> Action:
    text = f"Removes {plural(job.rows, 'row')} of {job.collection} that this job brought"
    if job.replaced_rows:
        text += f", and brings back the {plural(job.replaced_rows, 'row')} that they replaced"
    return Action("revert", "Revert", f"{text}, all at once.", True, asks_name=True)


def _replays(job: ImportJob) -> Sequence[Action]:
    """Replay, for a job that has left out something."""
    if job.rejected_rows or job.skipped_files:
        left_out = [
            *([plural(job.rejected_rows, "rejected row")] if job.rejected_rows else []),
            *([plural(job.skipped_files, "skipped file")] if job.skipped_files else []),
        ]
        text = (
            f"Creates a job that imports only the {' and '.join(left_out)}, with the options of this one. Name "
            "corrected files, such as an edited download of the rejected rows; without any, the job's own files are "
            "read again, of which those with rejected rows must not have changed"
        )
        return (Action("replay", "Replay", f"{text}.", needs_keys=job.has_credentials, takes_files=True),)
    return ()


def _action_named(job: ImportJob, verb: str) -> Action:
    """The action to confirm; what the state doesn't allow gets the service's own error once it is sent."""
    for action in _actions(view(job)):
        if action.verb == verb:
            return action
    if verb in ("abort", "commit", "retry", "replay", "revert"):
        text = f"The job is {view(job).state.word.lower()} now. The server says whether that is possible."
        return Action(verb, verb.capitalize(), text)
    raise JobNotFound(f"a job has no page {verb[:40]!r}", job_id=job.id)


def _file_states(files: Sequence[ImportFile]) -> Mapping[str, int]:
    return {state.value: count for state in FileState if (count := sum(file.state is state for file in files))}


def _server(history: JobHistory) -> str:
    """The host and the process that work on a job: the owner of its lease, without its random part."""
    return (history.server or "").rpartition("-")[0]


def _raw(pages: Pages, visit: Visit, job: ImportJob) -> str:
    answer = pages.services.call_api(
        "/jobs/import/describe", _body(visit.cluster.id, job), visit.call.authorization, visit.call.address
    )
    return orjson.dumps(orjson.loads(answer), option=orjson.OPT_INDENT_2).decode()


def _body(cluster_id: str, job: ImportJob) -> dict[str, Any]:
    return {"clusterId": cluster_id, "jobId": str(job.id)}


def _copies(cluster_id: str, job: ImportJob) -> Copies:
    return copies(
        "/jobs/import/describe",
        _body(cluster_id, job),
        python=f'job = client.imports.get("{job.id}")\nprint(job.state, job.progress, job.reason)',
        cli=command("penstock", "jobs", "describe", str(job.id), "--cluster-id", cluster_id),
        cluster=cluster_id,
    )
