"""What is measured side by side, section by section."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from benchmarks.peers.base import Contender
from benchmarks.peers.contenders import (
    CHROMA,
    DECODE,
    DECODE_WRITE,
    LANCEDB,
    MILVUS,
    MILVUS_LITE,
    PENSTOCK,
    PGVECTOR,
    QDRANT,
)
from benchmarks.peers.data import DataSet

__all__ = ["Entry", "Section", "all_sections"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A contender with its files.

    Attributes:
        name: unique in its section.
        every: takes part in every such pair only, since it is slow.
        index_every: builds an index in every such pair; 0 for never.
    """

    name: str
    contender: Contender
    data: DataSet
    every: int = 1
    index_every: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Entries that take turns, so that what else the machine does falls on all; ``most_pairs`` limits the turns."""

    name: str
    title: str
    entries: tuple[Entry, ...]
    most_pairs: int | None = None


def all_sections(share: float = 1) -> dict[str, Section]:
    """By name. ``share`` makes all of them smaller, for trying."""

    def data(format: str, rows: int, dim: int, files: int = 1, *, keep: bool = True) -> DataSet:
        return DataSet(format=format, rows=max(files, int(rows * share)), dim=dim, files=files, keep=keep)

    return {section.name: section for section in _sections(data)}


def _sections(data: Callable[..., DataSet]) -> Iterator[Section]:
    parquet = data("parquet", 200_000, 768)
    yield Section(
        name="parquet-768",
        title=f"Parquet, {_size(parquet)}",
        entries=(
            *_limits(parquet),
            Entry(name="penstock", contender=PENSTOCK, data=parquet, index_every=2),
            Entry(name="lancedb", contender=LANCEDB, data=parquet, index_every=3),
            Entry(name="milvus", contender=MILVUS, data=parquet, index_every=3),
            Entry(name="pgvector", contender=PGVECTOR, data=parquet, every=2, index_every=6),
            Entry(
                name="milvus-lite", contender=MILVUS_LITE, data=data("parquet", 20_000, 768), every=2, index_every=2
            ),
            Entry(name="chroma", contender=CHROMA, data=data("parquet", 10_000, 768), every=2),
            Entry(name="qdrant-local", contender=QDRANT, data=data("parquet", 2_000, 768), every=3),
        ),
    )
    parquet = data("parquet", 1_000_000, 128)
    yield Section(
        name="parquet-128",
        title=f"Parquet, {_size(parquet)}",
        entries=(
            *_limits(parquet),
            Entry(name="penstock", contender=PENSTOCK, data=parquet, index_every=3),
            Entry(name="lancedb", contender=LANCEDB, data=parquet, index_every=6),
            Entry(name="milvus", contender=MILVUS, data=parquet, every=3),
            Entry(name="pgvector", contender=PGVECTOR, data=parquet, every=3),
            Entry(name="milvus-lite", contender=MILVUS_LITE, data=data("parquet", 50_000, 128), every=3),
            Entry(name="chroma", contender=CHROMA, data=data("parquet", 20_000, 128), every=3),
        ),
    )
    json = data("json", 50_000, 768)
    yield Section(
        name="json-768",
        title=f"JSON (a list of objects), {_size(json)}",
        entries=(
            *_limits(json),
            Entry(name="penstock", contender=PENSTOCK, data=json),
            Entry(name="milvus", contender=MILVUS, data=json, every=3),
        ),
    )
    jsonl = data("jsonl", 50_000, 768)
    yield Section(
        name="jsonl-768",
        title=f"JSON Lines, {_size(jsonl)}",
        entries=(*_limits(jsonl), Entry(name="penstock", contender=PENSTOCK, data=jsonl)),
    )
    csv = data("csv", 50_000, 768)
    yield Section(
        name="csv-768",
        title=f"CSV, {_size(csv)}",
        entries=(
            *_limits(csv),
            Entry(name="penstock", contender=PENSTOCK, data=csv),
            Entry(name="pgvector", contender=PGVECTOR, data=csv, every=2),
        ),
    )
    numpy = data("npy", 200_000, 768)
    yield Section(
        name="npy-768",
        title=f"NumPy, {_size(numpy)}",
        entries=(
            *_limits(numpy),
            Entry(name="penstock", contender=PENSTOCK, data=numpy),
            Entry(name="lancedb", contender=LANCEDB, data=numpy, every=2),
            Entry(name="milvus", contender=MILVUS, data=numpy, every=3),
            Entry(name="pgvector", contender=PGVECTOR, data=numpy, every=6),
        ),
    )
    numpy = data("npy", 50_000, 768)
    yield Section(
        name="npy-768-small",
        title=f"NumPy, {_size(numpy)}",
        entries=(*_limits(numpy), Entry(name="penstock", contender=PENSTOCK, data=numpy)),
    )
    parquet = data("parquet", 1_000_000, 128)
    yield Section(
        name="files",
        title=f"Parquet, {_size(parquet)} in 1, 100 and 10,000 files",
        entries=tuple(
            Entry(
                name=f"penstock-{count}",
                contender=replace(
                    PENSTOCK, title=f"Penstock, {count:,} {'file' if count == 1 else 'files'}", searches=True
                ),
                data=data("parquet", 1_000_000, 128, count),
            )
            for count in (1, 100, 10_000)
        ),
        most_pairs=3,
    )
    parquet = data("parquet", 200_000, 768)
    for name, files in (("workers", parquet), ("workers-jsonl", data("jsonl", 50_000, 768))):
        yield Section(
            name=name,
            title=f"One worker and two; {'Parquet' if files is parquet else 'JSON Lines'}, {_size(files)}",
            entries=tuple(
                Entry(
                    name=f"penstock-{count}",
                    contender=replace(
                        PENSTOCK, title=f"Penstock, --workers {count}", flags=("--workers", str(count))
                    ),
                    data=files,
                )
                for count in (1, 2)
            ),
        )
    yield Section(
        name="tiny",
        title="A job of one row",
        entries=(Entry(name="penstock", contender=PENSTOCK, data=replace(parquet, rows=1)),),
    )
    budget = replace(PENSTOCK, title="Penstock, --memory-budget 768MiB", flags=("--memory-budget", "768MiB"))
    yield Section(
        name="memory",
        title="Memory with a budget; Parquet of 3 GB and of 12 GB, 768 dimensions",
        entries=tuple(
            Entry(name=f"penstock-{rows}", contender=budget, data=data("parquet", rows, 768, keep=False))
            for rows in (1_000_000, 4_000_000)
        ),
        most_pairs=1,
    )


def _size(data: DataSet) -> str:
    return f"{data.rows:,} × {data.dim}"


def _limits(data: DataSet) -> tuple[Entry, Entry]:
    return (
        Entry(name="decode", contender=DECODE, data=data),
        Entry(name="decode-write", contender=DECODE_WRITE, data=data),
    )
