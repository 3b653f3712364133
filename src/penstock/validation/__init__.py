"""Vectorised checks that conform any reader's batches to a schema's canonical form."""

from penstock.validation.conform import Conformer

__all__ = ["Conformer"]
