"""Infer a collection's schema from the first rows of files: :func:`penstock.inference.infer.infer_schema`."""
