"""Read ``max_fragment_id`` of a table's manifest, which Lance's Python API does not expose.

Format: Lance table specification, protobuf message ``Manifest``, field 11 ``max_fragment_id``.
"""

from __future__ import annotations

from lance.dataset import LanceDataset

from penstock.domain.varints import parse_varint

_MAX_FRAGMENT_ID = 11


def highest_fragment_id(dataset: LanceDataset) -> int:
    """The highest id that any fragment of the table ever had, or -1.

    The id of a removed fragment must not be reused: an index that was being built meanwhile may still name it, and
    would claim to cover a new fragment of that id, whose rows no search would find.
    """
    present = max((fragment.fragment_id for fragment in dataset.get_fragments()), default=-1)
    return max(present, _field(dataset._ds.serialized_manifest(), _MAX_FRAGMENT_ID, default=-1))


def _field(message: bytes, field_number: int, *, default: int) -> int:
    """The integer field ``field_number`` of a protobuf message; the last one counts."""
    value = default
    place = 0
    while place < len(message):
        key, place = parse_varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == 0:
            integer, place = parse_varint(message, place)
            value = integer if number == field_number else value
        elif kind == 1:
            place += 8
        elif kind == 2:
            length, place = parse_varint(message, place)
            place += length
        elif kind == 5:
            place += 4
        else:
            raise ValueError(f"not a Lance manifest: wire type {kind} at byte {place}")
    return value
