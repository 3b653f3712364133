"""The page that shows the OpenAPI document, and its Content-Security-Policy: nothing beyond this server."""

from __future__ import annotations

from penstock.server.http.web_pages import asset_version

_ASSETS = f"/assets/{asset_version()}"

DOCS_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Penstock API</title>
<link rel="stylesheet" href="{_ASSETS}/swagger-ui/swagger-ui.css">
<link rel="icon" href="{_ASSETS}/icon.svg" type="image/svg+xml">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{_ASSETS}/swagger-ui/swagger-ui-bundle.js"></script>
<script src="{_ASSETS}/docs.js"></script>
</body>
</html>
"""

DOCS_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # Swagger UI uses inline styles
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
