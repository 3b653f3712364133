"""Vectorised checks that conform any reader's batches to a schema's canonical form."""

from penstock.validation.conform import Conformer, conform_column

__all__ = ["Conformer", "conform_column"]
