"""Sample files for the demo: short book descriptions with vectors, in every format that Penstock reads.

A description is a few words about one of six topics. Its vector is the mean of its words' vectors, and the words of
a topic lie near each other, so that a search finds books about what one asks for. No model is needed.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["DIMENSION", "SCHEMA", "embed", "make_bad_file", "make_samples"]

DIMENSION = 64
FIRST_YEAR, LAST_YEAR = 1900, 2024

TOPICS = {
    "sea": "harbour storm sailor tide lighthouse anchor whale island captain wreck",
    "space": "rocket planet orbit comet astronaut galaxy telescope moon crater satellite",
    "kitchen": "bread oven spice recipe butter onion soup knife baker table",
    "music": "violin concert melody drum choir piano opera singer rhythm band",
    "forest": "oak fox mushroom trail owl moss river wolf hunter fern",
    "city": "tram market bridge tower crowd street station cafe roof traffic",
}
TOPIC_OF = {word: topic for topic, words in TOPICS.items() for word in words.split()}

SCHEMA: dict[str, Any] = {
    "schema": {
        "fields": [
            {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
            {"fieldName": "text", "dataType": "VarChar", "elementTypeParams": {"max_length": 200}},
            {"fieldName": "year", "dataType": "Int16"},
            {"fieldName": "details", "dataType": "JSON"},
            {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": DIMENSION}},
        ]
    },
    "indexParams": [{"fieldName": "vector", "indexType": "AUTOINDEX", "metricType": "COSINE"}],
}

Vector = npt.NDArray[np.float32]


def _word_vectors() -> dict[str, Vector]:
    random = np.random.default_rng(1)
    centres = {topic: random.normal(size=DIMENSION) for topic in TOPICS}
    return {
        word: (centres[topic] + 0.7 * random.normal(size=DIMENSION)).astype(np.float32)
        for word, topic in TOPIC_OF.items()
    }


_VECTORS = _word_vectors()


def embed(text: str) -> Vector:
    """The vector of a text: the mean of its known words' vectors, of length 1."""
    known = [_VECTORS[word] for word in text.lower().replace(",", "").split() if word in _VECTORS]
    if not known:
        raise ValueError(f"no known word in {text!r}; try some of: {', '.join(_VECTORS)}")
    mean = np.mean(known, axis=0)
    unit: Vector = (mean / np.linalg.norm(mean)).astype(np.float32)
    return unit


def _rows(first_id: int, count: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(first_id)
    return [_row(first_id + number, random) for number in range(count)]


def _row(row_id: int, random: np.random.Generator) -> dict[str, Any]:
    topic = str(random.choice(list(TOPICS)))
    words = random.choice(TOPICS[topic].split(), size=3, replace=False)
    text = ", ".join(map(str, words))
    return {
        "id": row_id,
        "text": text,
        "year": int(random.integers(FIRST_YEAR, LAST_YEAR)),
        "details": {"topic": topic, "pages": int(random.integers(40, 900))},
        "vector": embed(text),
    }


def make_samples(folder: Path, rows_per_file: int) -> dict[str, Path]:
    """Write one file per format (for NumPy a folder of files), each with rows of its own.

    Returns:
        the paths, by the format's name.
    """
    makers = {
        "Parquet": (_write_parquet, folder / "books.parquet"),
        "JSON list": (_write_json_list, folder / "books.json"),
        "JSON rows": (_write_json_rows, folder / "more-books.json"),
        "JSON Lines": (_write_json_lines, folder / "books.jsonl"),
        "CSV": (_write_csv, folder / "books.csv"),
        "NumPy": (_write_numpy, folder / "numpy"),
    }
    for number, (write, path) in enumerate(makers.values()):
        write(path, _rows(number * rows_per_file, rows_per_file))
    return {name: path for name, (_, path) in makers.items()}


def make_bad_file(path: Path, bad_row: int) -> None:
    """A JSON Lines file in which one row holds a text where a number belongs."""
    rows = list(_plain(_rows(1_000_000, 100)))
    rows[bad_row]["year"] = "nineteen eighty-four"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _plain(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return ({**row, "vector": [round(float(each), 6) for each in row["vector"]]} for row in rows)


def _write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    table = pa.table(
        {
            "id": pa.array([row["id"] for row in rows], pa.int64()),
            "text": [row["text"] for row in rows],
            "year": pa.array([row["year"] for row in rows], pa.int16()),
            "details": [json.dumps(row["details"]) for row in rows],
            "vector": pa.array([row["vector"] for row in rows], pa.list_(pa.float32())),
        }
    )
    pq.write_table(table, path)


def _write_json_list(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(list(_plain(rows))))


def _write_json_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps({"rows": list(_plain(rows))}))


def _write_json_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in _plain(rows)))


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0])
        for row in _plain(rows):
            details, vector = json.dumps(row["details"]), json.dumps(row["vector"])
            writer.writerow([row["id"], row["text"], row["year"], details, vector])


def _write_numpy(folder: Path, rows: list[dict[str, Any]]) -> None:
    folder.mkdir()
    np.save(folder / "id.npy", np.array([row["id"] for row in rows], np.int64))
    np.save(folder / "text.npy", np.array([row["text"] for row in rows]))
    np.save(folder / "year.npy", np.array([row["year"] for row in rows], np.int16))
    np.save(folder / "details.npy", np.array([json.dumps(row["details"]) for row in rows]))
    np.save(folder / "vector.npy", np.array([row["vector"] for row in rows], np.float32))
