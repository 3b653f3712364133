"""The tables of file formats and of presets: a new one is a module with a :class:`FormatSpec`, named here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.readers.arrow_ipc import ARROW_IPC
from penstock.readers.avro import AVRO
from penstock.readers.base import FormatSpec
from penstock.readers.csv.reader import CSV, TSV
from penstock.readers.hdf5 import HDF5
from penstock.readers.json.array_reader import JSON
from penstock.readers.json.lines_reader import JSON_LINES
from penstock.readers.numpy import NUMPY
from penstock.readers.numpy_archive import NUMPY_ARCHIVE
from penstock.readers.orc import ORC
from penstock.readers.parquet.reader import PARQUET
from penstock.readers.presets.chroma import CHROMA, CHROMA_LINES
from penstock.readers.presets.openai import OPENAI
from penstock.readers.presets.pgvector import PGVECTOR
from penstock.readers.presets.pinecone import PINECONE
from penstock.readers.presets.qdrant import QDRANT
from penstock.readers.presets.weaviate import WEAVIATE
from penstock.readers.vector_files import BVECS, FBIN, FVECS, IVECS

FORMATS: Sequence[FormatSpec] = (
    PARQUET,
    JSON,
    JSON_LINES,
    CSV,
    TSV,
    NUMPY,
    NUMPY_ARCHIVE,
    ARROW_IPC,
    ORC,
    AVRO,
    HDF5,
    FVECS,
    IVECS,
    BVECS,
    FBIN,
)

EXTENSIONS: Mapping[str, FormatSpec] = {extension: spec for spec in FORMATS for extension in spec.extensions}
PRESETS: Mapping[str, Sequence[FormatSpec]] = {
    "chroma": (CHROMA, CHROMA_LINES),
    "openai": (OPENAI,),
    "pgvector": (PGVECTOR,),
    "pinecone": (PINECONE,),
    "qdrant": (QDRANT,),
    "weaviate": (WEAVIATE,),
}
"""Formats of the exports of other stores, by the value of the option ``from_format``."""
_ALL = (*FORMATS, *(spec for specs in PRESETS.values() for spec in specs))
_NAMES = {spec.name: spec for spec in _ALL}


def extensions_of(preset: str) -> Mapping[str, FormatSpec]:
    """The formats of a preset by extension; of no preset all formats."""
    if not preset:
        return EXTENSIONS
    return {extension: spec for spec in PRESETS[preset] for extension in spec.extensions}


def format_of(name: str, preset: str = "") -> FormatSpec | None:
    """The format of a file by its name: by its last extension, or the last two (``.jsonl.gz``), in any case."""
    extensions = extensions_of(preset)
    parts = name.rpartition("/")[2].lower().split(".")
    names = (".".join(parts[-count:]) for count in (2, 1) if count < len(parts))
    return next((extensions[extension] for extension in names if extension in extensions), None)


def format_named(name: str) -> FormatSpec:
    """Return the format of this :attr:`FormatSpec.name`."""
    return _NAMES[name]


def check_options(options: Mapping[str, str]) -> list[str]:
    """Check the import options that belong to a format; return warnings.

    Raises:
        ImportRefused: a format can't use the value of one.
    """
    checks = [(check, options.get(name) or "") for spec in _ALL for name, check in spec.options.items()]
    return [warning for check, text in checks if (warning := check(text))]
