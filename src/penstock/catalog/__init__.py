"""The catalog: the source of truth for clusters, collections, schemas and jobs. Opened by :func:`open_catalog`."""

from penstock.catalog.catalog import Catalog, open_catalog

__all__ = ["Catalog", "open_catalog"]
