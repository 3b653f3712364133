"""The import that the wizard is about to start, to copy: with the collection that it creates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.domain.rest_schema import schema_to_rest
from penstock.web.commands import Copies, command, copies, database_flag
from penstock.web.wizard_form import WizardForm


def import_copies(cluster_id: str, form: WizardForm) -> Copies:
    """The copies of the wizard's import. Raises InvalidParameter, InvalidSchema: the form's schema is none."""
    body: dict[str, Any] = {
        "clusterId": cluster_id,
        "dbName": form.database,
        "collectionName": form.collection,
        "partitionName": form.values.get("partition"),
        "files": form.groups,
        "options": form.options,
    }
    made = copies(
        "/jobs/import/create",
        {name: value for name, value in body.items() if value},
        python=_python(form),
        cli=_cli(cluster_id, form),
        database=form.database,
        cluster=cluster_id,
    )
    return Copies(curl=_curl_of_collection(cluster_id, form) + made.curl, python=made.python, cli=made.cli)


def _curl_of_collection(cluster_id: str, form: WizardForm) -> str:
    """The call that creates the collection, where it is new."""
    if not form.is_new:
        return ""
    schema = form.schema()
    body = {
        "clusterId": cluster_id,
        "dbName": form.database,
        "collectionName": form.collection,
        "schema": schema_to_rest(schema),
        "indexParams": [
            {"fieldName": index.field_name, "indexType": index.index_type or "AUTOINDEX"}
            | ({"metricType": index.metric} if index.metric else {})
            for index in form.indexes(schema)
        ],
    }
    return copies("/collections/create", body, python="", cli="").curl + "\n"


def _python(form: WizardForm) -> str:
    options = {name: value for name, value in form.options.items() if name not in ("mapping", "drop_columns")}
    columns = _arguments({"mapping": form.mapping, "drop_columns": list(form.dropped)})
    started = (
        f"job = client.imports.create({form.collection!r}, {[list(group) for group in form.groups]!r}"
        f"{_arguments({'partition': form.values.get('partition'), 'options': options})}{columns})\n"
        "client.imports.wait(job, progress=True)"
    )
    if not form.is_new:
        return started
    chosen = _arguments(
        {
            "id": form.values.get("id_column"),
            "vector": form.values.get("vector_column"),
            "auto_id": bool(form.values.get("auto_id")),
        }
    )
    return (
        f"inferred = client.collections.infer({[list(group) for group in form.groups]!r}{chosen}{columns})\n"
        f"client.collections.create({form.collection!r}, schema=inferred.schema, indexes=inferred.indexes)\n{started}"
    )


def _arguments(values: Mapping[str, Any]) -> str:
    """Keyword arguments of a call, without empty ones."""
    return "".join(f", {name}={value!r}" for name, value in values.items() if value)


def _cli(cluster_id: str, form: WizardForm) -> str:
    options = {name: value for name, value in form.options.items() if name != "drop_columns"}
    new = ("--create", *(("--auto-id",) if form.values.get("auto_id") else ())) if form.is_new else ()
    chosen = [("--id", form.values.get("id_column")), ("--vector", form.values.get("vector_column"))]
    pairs = [
        *(chosen if form.is_new else []),
        ("--partition", form.values.get("partition")),
        *(("--drop", column) for column in form.dropped),
        *(("--option", f"{name}={value}") for name, value in options.items()),
    ]
    return command(
        *("penstock", "import", *form.paths, "--collection", form.collection, *database_flag(form.database)),
        *("--cluster-id", cluster_id, "--server-paths", *new),
        *(word for flag, value in pairs if value for word in (flag, value)),
    )
