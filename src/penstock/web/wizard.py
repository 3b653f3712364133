"""``/import``: the wizard: source, columns, check, run. One form travels along, so that Back loses nothing."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.collections.create_collection import CreateCollection, create_collection
from penstock.domain.access import Role
from penstock.domain.collections import Collection
from penstock.domain.schema import DataType
from penstock.errors import CollectionExists, InvalidParameter, PenstockError
from penstock.inference.inferred import InferredSchema
from penstock.web.collections import visible_collections
from penstock.web.job import job_id_of
from penstock.web.page import PageReply, PageRoute, Values, Visit, address, redirect
from penstock.web.pages import Pages
from penstock.web.progress import view
from penstock.web.wizard_copies import import_copies
from penstock.web.wizard_form import NO_COLUMN, SHOWN_OPTIONS, WizardForm, mapped_fields, schema_text

STEPS = (("source", "Source"), ("columns", "Columns"), ("check", "Check"))
_SECONDS = 120.0
"""More than an inference may take, which then says why it took so long."""
_INDEX_TYPES = ("AUTOINDEX", "HNSW", "IVF_FLAT", "IVF_PQ", "FLAT")
_METRICS = ("COSINE", "L2", "IP")
_METRICS_OF: Mapping[DataType, Sequence[str]] = {
    DataType.BINARY_VECTOR: ("HAMMING", "JACCARD"),
    DataType.SPARSE_FLOAT_VECTOR: ("IP",),
}
"""Of vectors that are not of floats; AUTOINDEX is their only type of index here."""
_BAD_ROWS = {
    "": "fails the whole import: none of the rows become visible",
    "skip_row": "is left out, and kept for a correction",
    "skip_file": "has its whole file left out",
}
"""The values of the option on_error, as endings of a sentence about a bad row."""


def routes(pages: Pages) -> tuple[PageRoute, ...]:
    services = pages.services

    def start(visit: Visit) -> PageReply:
        pairs = [
            ("paths", "\n".join(visit.query.all("paths"))),
            ("target", visit.query.get("collection")),
            ("option_on_error", visit.query.get("on_error")),
        ]
        form = WizardForm(Values([*pairs, ("idempotency_key", secrets.token_urlsafe(16))]))
        return source(visit, form)

    def step(visit: Visit) -> PageReply:
        form = WizardForm(visit.form)
        wanted = visit.form.get("step")
        begins_at_columns = visit.form.get("from") == "columns"
        try:
            if wanted == "columns":
                return columns(visit, form)
            if wanted == "check":
                if form.is_new and begins_at_columns and form.is_chosen_since_inference:
                    form = form.with_schema(_inferred(visit, form))
                return check(visit, form)
        except PenstockError as error:
            if begins_at_columns and wanted == "check":
                return columns_again(visit, form, str(error))
            return source(visit, form, str(error))
        return source(visit, form)

    def columns_again(visit: Visit, form: WizardForm, error: str) -> PageReply:
        """The columns with the error of the step after them, without the choice that no schema fits."""
        if form.is_chosen_since_inference:
            form = form.without_choice()
        try:
            return columns(visit, form, error)
        except PenstockError:  # nothing can be inferred any more: the files have gone, for one
            return source(visit, form, error)

    def source(visit: Visit, form: WizardForm, error: str = "") -> PageReply:
        return _show(
            pages,
            visit,
            form,
            "source",
            error,
            collections=[
                collection
                for collection in visible_collections(pages, visit)
                if visit.may(Role.WRITER, collection.database)
            ],
            databases=[
                database.name
                for database in services.databases.list(visit.cluster.id)
                if visit.may(Role.WRITER, database.name)
            ],
            options=SHOWN_OPTIONS,
        )

    def columns(visit: Visit, form: WizardForm, error: str = "") -> PageReply:
        _check_source(form)
        inferred = _inferred(visit, form)
        collection = None if form.is_new else _collection(visit, form)
        return _show(
            pages,
            visit,
            form,
            "columns",
            error,
            inferred=inferred,
            target=collection,
            mapped=[] if collection is None else mapped_fields(form, collection.schema, inferred.preview.columns),
            no_column=NO_COLUMN,
            schema_text=schema_text(inferred) if form.is_new else "",
            **_index_choices(inferred),
        )

    def check(visit: Visit, form: WizardForm, error: str = "") -> PageReply:
        _check_source(form)
        schema = form.schema() if form.is_new else _collection(visit, form).schema
        return _show(
            pages,
            visit,
            form,
            "check",
            error,
            schema=schema,
            bad_rows=_BAD_ROWS,
            indexes=form.indexes(schema) if form.is_new else (),
            copies=import_copies(visit.cluster.id, form),
        )

    def dry_run(visit: Visit) -> PageReply:
        form = WizardForm(visit.form)
        try:
            _check_source(form)
            if form.is_new:
                _create_collection(visit, form)
            job = services.imports.create(form.dry_run_request(visit.cluster.id, visit.caller))
        except PenstockError as error:
            return check(visit, form, _explained(error))
        return check(visit, form.with_dry_job(job.id))

    def dry_run_state(visit: Visit) -> PageReply:
        details = services.imports.get(visit.cluster.id, job_id_of(visit), visit.caller)
        return pages.show(visit, "wizard_dry_run.html", details=details, view=view(details.job))

    def run(visit: Visit) -> PageReply:
        form = WizardForm(visit.form)
        try:
            _check_source(form)
            if form.is_new:
                _create_collection(visit, form)
            job = services.imports.create(form.create_request(visit.cluster.id, visit.caller))
        except PenstockError as error:
            return check(visit, form, _explained(error))
        return redirect(address(f"/jobs/{job.id}", cluster=visit.form.get("cluster")))

    def _create_collection(visit: Visit, form: WizardForm) -> None:
        """Create the collection as a call of its own, with an entry of its own in the audit log."""
        schema = form.schema()
        call = visit.call
        with services.admission.call(
            "collection.create", authorization=call.authorization, address=call.address
        ) as admitted:
            admitted.enter(visit.cluster.id)
            admitted.authorize(Role.WRITER, form.database)
            request = CreateCollection(name=form.collection, schema=schema, indexes=form.indexes(schema))
            create_collection(services.collections, services.indexes, visit.cluster.id, form.database, request)

    def _inferred(visit: Visit, form: WizardForm) -> InferredSchema:
        return services.inference.infer(form.infer_request(visit.cluster.id, visit.caller))

    def _collection(visit: Visit, form: WizardForm) -> Collection:
        visit.caller.require(Role.WRITER, visit.cluster, form.database)
        return services.collections.get(visit.cluster.id, form.database, form.collection)

    return (
        PageRoute(method="GET", path="/import", handler=start, action="import.describe"),
        PageRoute(method="POST", path="/import", handler=step, action="import.infer", timeout=_SECONDS),
        PageRoute(method="POST", path="/import/check", handler=dry_run, action="import.create", stores_entry=True),
        PageRoute(method="GET", path="/import/check/{job}", handler=dry_run_state, action="import.describe"),
        PageRoute(method="POST", path="/import/run", handler=run, action="import.create", stores_entry=True),
    )


def _show(pages: Pages, visit: Visit, form: WizardForm, step: str, error: str, **values: Any) -> PageReply:
    shown = f"wizard_{step}.html"
    return pages.show(
        visit,
        "wizard.html",
        form=form,
        step=step,
        steps=STEPS,
        step_template=shown,
        error=error,
        roots=pages.services.roots,
        status=400 if error and not visit.call.partial else 200,  # htmx takes 400 for a broken call
        **values,
    )


def _index_choices(inferred: InferredSchema) -> Mapping[str, Sequence[str]]:
    """The types and metrics that the first vector field's index may have."""
    vectors = inferred.schema.vectors
    metrics = _METRICS_OF.get(vectors[0].type) if vectors else None
    return {"index_types": _INDEX_TYPES if metrics is None else _INDEX_TYPES[:1], "metrics": metrics or _METRICS}


def _explained(error: PenstockError) -> str:
    """The text of an error, with what to do about a collection that an earlier check has created otherwise."""
    if not isinstance(error, CollectionExists):
        return str(error)
    return (
        f"{error}. It exists with other fields or indexes: a check creates the collection, empty, with what was "
        "chosen by then. Drop it, or go back and give the new one another name"
    )


def _check_source(form: WizardForm) -> None:
    """Raises InvalidParameter: the first step lacks something."""
    if not form.paths:
        raise InvalidParameter("name at least one file, folder or address", name="paths")
    if not form.collection:
        raise InvalidParameter("choose a collection, or name a new one", name="collection")
