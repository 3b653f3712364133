"""Python calls and client for import servers, over HTTP only.

``penstock.sdk.v1_calls`` and ``penstock.sdk.v2_calls`` hold plain functions that return ``requests.Response``;
``penstock.sdk.client`` the typed client; ``penstock.sdk.errors`` the errors of both.
"""
