"""Inferring the schema of files in memory."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from penstock.domain.schema import Field
from penstock.inference.infer import InferOptions, infer_schema
from penstock.inference.inferred import InferredSchema
from penstock.readers.base import Sample, SampleRequest
from penstock.readers.formats import format_named
from penstock.readers.input_files import detect
from tests.support.in_memory import BytesSource

__all__ = ["field_of", "infer", "npy", "parquet", "sample"]


def sample(files: Mapping[str, bytes], **bounds: Any) -> Sample:
    """Sample one file, or a NumPy set."""
    sources = [BytesSource(name, content) for name, content in files.items()]
    return format_named(detect(list(files)).name).reader.sample(SampleRequest(sources=sources, **bounds))


def infer(*inputs: Mapping[str, bytes], options: Mapping[str, str] | None = None, **chosen: Any) -> InferredSchema:
    """Infer the schema of inputs, each a file or a NumPy set; ``options`` are import options."""
    samples = {" ".join(files): sample(files, options=options or {}) for files in inputs}
    return infer_schema(samples, InferOptions(**chosen))


def field_of(inferred: InferredSchema, name: str) -> Field:
    return inferred.schema[name]


def parquet(columns: Mapping[str, Any] | pa.Table, **options: Any) -> bytes:
    table = columns if isinstance(columns, pa.Table) else pa.table(dict(columns))
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    return stream.getvalue()


def npy(values: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()
