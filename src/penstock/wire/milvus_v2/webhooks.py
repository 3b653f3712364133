"""``/v2/vectordb/jobs/import/webhooks/…``: create, list, delete and test webhooks, and list their deliveries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from penstock.domain.jobs import ImportJob
from penstock.domain.webhooks import DEFAULT_EVENTS, EVENTS, Delivery, Webhook
from penstock.imports.requests import JobDetails
from penstock.webhooks.service import MAX_DELIVERIES, CreateWebhook, WebhookService
from penstock.wire.http import Operation, Route
from penstock.wire.milvus_v2.dialect import MilvusV2, Request
from penstock.wire.milvus_v2.import_views import MILVUS
from penstock.wire.rendering import time_text

_DEFAULT_LIMIT = 100
_TEXT: Mapping[str, Any] = {"type": "string"}
_COUNT: Mapping[str, Any] = {"type": "integer"}
_CLUSTER: dict[str, Mapping[str, Any]] = {
    "clusterId": {"type": "string", "description": "Default: the server's own cluster."}
}
_ID = _CLUSTER | {"webhookId": _TEXT}
_WEBHOOK: dict[str, Mapping[str, Any]] = {
    "webhookId": _TEXT,
    "url": _TEXT,
    "events": {"type": "array", "items": {"type": "string", "enum": list(EVENTS)}},
    "dbName": {"type": "string", "description": "Only jobs of this database; default: of the whole cluster."},
    "collectionName": {"type": "string", "description": "Only jobs into this collection; needs dbName."},
    "createTime": _TEXT,
}
_DELIVERY: dict[str, Mapping[str, Any]] = {
    "deliveryId": _TEXT,
    "jobId": _TEXT,
    "event": _TEXT,
    "state": {"type": "string", "enum": ["pending", "delivered", "failed"]},
    "attempts": _COUNT,
    "status": {"type": "integer", "description": "HTTP status of the last attempt, if there was a response."},
    "error": {"type": "string", "description": "Why the last attempt failed."},
    "createTime": _TEXT,
    "nextAttemptTime": _TEXT,
    "completeTime": _TEXT,
}


def routes(webhooks: WebhookService, v2: MilvusV2) -> tuple[Route, ...]:
    def create(request: Request) -> object:
        fields = request.fields
        webhook, secret = webhooks.create(
            request.cluster,
            CreateWebhook(
                url=fields.required_string("url"),
                events=fields.strings("events") or (),
                database=fields.string("dbName"),
                collection=fields.string("collectionName"),
                secret=fields.string("secret"),
            ),
            request.caller,
        )
        return {"webhookId": webhook.id, "secret": secret}

    def list_webhooks(request: Request) -> object:
        return [_webhook_view(webhook) for webhook in webhooks.list(request.cluster, request.caller)]

    def delete(request: Request) -> object:
        webhooks.delete(request.cluster, _webhook_id(request), request.caller)
        return None

    def deliveries(request: Request) -> object:
        limit = request.fields.integer("limit")
        found = webhooks.deliveries(
            request.cluster, _webhook_id(request), _DEFAULT_LIMIT if limit is None else limit, request.caller
        )
        return [_delivery_view(delivery) for delivery in found]

    def test(request: Request) -> object:
        result = webhooks.test(request.cluster, _webhook_id(request), request.caller)
        view = {"status": result.outcome.status, "error": result.outcome.error}
        return {**_present(view), "milliseconds": round(result.seconds * 1000)}

    def route(
        action: str,
        handler: Callable[[Request], object],
        summary: str,
        body: Mapping[str, Mapping[str, Any]],
        required: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> Route:
        operation = Operation(
            summary=summary,
            tag="import jobs (v2)",
            description=_DESCRIPTIONS.get(action, ""),
            body=body,
            required=[required] if required else [],
            data=data or {"type": "object"},
        )
        path = f"/jobs/import/webhooks/{action}"
        # Authorization depends on the webhook's scope: the use case does it.
        return v2.post(path, handler, struct="WebhookReq", role=None, whole_cluster=True, operation=operation)

    new = {name: schema for name, schema in _WEBHOOK.items() if name not in ("webhookId", "createTime")}
    secret: Mapping[str, Any] = {
        "type": "string",
        "description": "whsec_ and a key in Base64; default: the server makes one.",
    }
    limit: Mapping[str, Any] = {"type": "integer", "minimum": 1, "maximum": MAX_DELIVERIES, "default": _DEFAULT_LIMIT}
    result = {"status": _COUNT, "error": _TEXT, "milliseconds": _COUNT}
    return (
        route(
            "create",
            create,
            "Create a webhook",
            _CLUSTER | new | {"secret": secret},
            "url",
            _object({"webhookId": _TEXT, "secret": _TEXT}),
        ),
        route("list", list_webhooks, "List webhooks", _CLUSTER, data=_array(_WEBHOOK)),
        route("delete", delete, "Delete a webhook and its deliveries", _ID, "webhookId"),
        route(
            "deliveries",
            deliveries,
            "List the deliveries of a webhook, newest first",
            _ID | {"limit": limit},
            "webhookId",
            _array(_DELIVERY),
        ),
        route("test", test, "Send a test message to a webhook now", _ID, "webhookId", _object(result)),
    )


_DESCRIPTIONS = {
    "create": "Requires the role admin in the database, or in the cluster if no dbName is sent. The secret is shown "
    f"only here. Default events: {', '.join(DEFAULT_EVENTS)}. Messages are signed as Standard Webhooks describes.",
}


def message_data(job: ImportJob) -> Mapping[str, Any]:
    """The data of a message: the job as describe has it, without details of files, and where it belongs."""
    view = MILVUS.event(JobDetails(job=job, files=()), files=False)
    return {**view, "dbName": job.database, "clusterId": job.cluster_id}


def _webhook_id(request: Request) -> str:
    return request.fields.required_string("webhookId")


def _webhook_view(webhook: Webhook) -> dict[str, Any]:
    return _present(
        {
            "webhookId": webhook.id,
            "url": webhook.url,
            "events": list(webhook.events),
            "dbName": webhook.database,
            "collectionName": webhook.collection,
            "createTime": time_text(webhook.created_at),
        }
    )


def _delivery_view(delivery: Delivery) -> dict[str, Any]:
    return _present(
        {
            "deliveryId": str(delivery.id),
            "jobId": str(delivery.job_id),
            "event": delivery.event,
            "state": delivery.state,
            "attempts": delivery.attempts,
            "status": delivery.status,
            "error": delivery.error,
            "createTime": time_text(delivery.created_at),
            "nextAttemptTime": _time(delivery.due_at),
            "completeTime": _time(delivery.finished_at),
        }
    )


def _present(view: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in view.items() if value is not None}


def _time(time: datetime | None) -> str | None:
    return None if time is None else time_text(time)


def _object(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": "object", "properties": properties}


def _array(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": "array", "items": _object(properties)}
