"""The fuzzed functions by name. Each takes any bytes and returns, or raises what a bug is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.fuzz import filtering, reading, texts

__all__ = ["TARGETS", "Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """``longest`` is the most bytes of an input; ``words`` are tokens of the format that mutations put in."""

    run: Callable[[bytes], None]
    longest: int
    words: tuple[bytes, ...] = ()


_JSON = (
    b'{"',
    b'":',
    b"[[",
    b"]]",
    b"{}",
    b"null",
    b"true",
    b'"\\u',
    b"\\",
    b"1e400",
    b"NaN",
    b"-0.0",
    b'"rows":',
    b"\\u0000",
    b"][",
)
_FIELDS = (
    b'"id":',
    b'"vector":[',
    b'"json":',
    b'"sparse":{',
    b'"parts":[{',
    b'"$meta":',
    b'"tags":["',
    b'"counts":[',
)
_PATHS = (b"..", b"%2e", b"%252e", b"%00", b"://", b"file:///", b"s3://", b"az://c@", b"https://", b"@", b"\\", b"#")
_FILTERS = (
    *(b"and ", b"or ", b"not ", b"in [", b"like ", b"is null", b"exists ", b"**", b"<<", b"==", b"<=", b"&&", b"||"),
    *(
        b"array_contains(",
        b"json_contains_any(",
        b"array_length(",
        b"tags[0]",
        b"json['a']",
        b"$meta['k']",
        b"{list}",
    ),
    *(
        b"int64",
        b"double",
        b"text",
        b"counts",
        b'r"',
        b"0x",
        b"1e400",
        b"9223372036854775807",
        b"-9223372036854775808",
    ),
)
_NPY = (
    b"\x93NUMPY\x01\x00",
    b"'descr': '<f4'",
    b"'fortran_order': True",
    b"'shape': (",
    b"|O",
    b"<U9",
    b"|S9",
    b"|V2",
)
_CSV = (b'""', b'","', b"\r\n", b'"\n', b'"[1, 2]"', b"null", b"\xef\xbb\xbf", b"id,vector", b";", b"\t")
_PARQUET = (b"PAR1", b"PARE", b"ARROW:schema", b"\xff\xff\xff\x7f", b"\x80\x80\x80\x80\x10", b"\x15\x00", b"\x19\x1c")

_COLUMNS = (b"ARROW1", b"\xff\xff\xff\xff", b"ORC", b"Obj\x01", b"\x89HDF\r\n", b"PK\x03\x04", b"\x02\x00\x00\x00")

TARGETS: Mapping[str, Target] = {
    "parquet": Target(reading.read_parquet, 8192, _PARQUET),
    "json": Target(reading.read_json, 1024, _JSON + _FIELDS),
    "jsonl": Target(reading.read_json_lines, 1024, _JSON + _FIELDS),
    "csv": Target(reading.read_csv, 1024, _CSV + _JSON),
    "numpy": Target(reading.read_numpy, 512, _NPY),
    "columns": Target(reading.read_columns, 8192, _COLUMNS),
    "compressed": Target(reading.read_compressed, 1024, (*_JSON, b"\x1f\x8b", b"BZh", b"\x28\xb5\x2f\xfd")),
    "paths": Target(texts.parse_paths, 256, _PATHS),
    "filters": Target(texts.parse_filter, 256, _FILTERS),
    "long_filters": Target(filtering.evaluate_long_filter, 64, _FILTERS),
    "json_marks": Target(texts.scan_json, 256, _JSON),
    "json_survey": Target(texts.survey_json, 512, _JSON),
}
