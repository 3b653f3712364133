"""Vectorised checks that bring any batch a reader delivers to the canonical form of a schema."""

from penstock.validation.conform import Conformer

__all__ = ["Conformer"]
