"""The catalog: the truth about clusters, collections, schemas and jobs. :func:`open_catalog` is the way in."""

from penstock.catalog.catalog import Catalog, open_catalog

__all__ = ["Catalog", "open_catalog"]
