"""Forbids core dumps of the process that imports it: a fork server, which runs nothing but imports.

Its children inherit it.
"""

from penstock.server.process.hardening import forbid_dumps

forbid_dumps()
