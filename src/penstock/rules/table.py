"""The table of rules. Where Milvus has words for a rule, they are Milvus's: scripts look for them.

``docs/types.md`` is made from it.
"""

from __future__ import annotations

from penstock.domain.data_types import INTEGER_RANGES, DataType
from penstock.domain.schema import MAX_TEXT_BYTES
from penstock.rules.rule import Rule

MAX_JSON_BYTES = 65536
"""Maximum text of a JSON field's value, or of a row's dynamic values, as in Milvus."""
MAX_JSON_DEPTH = 128
"""Maximum nesting of such a value. orjson writes 254 levels, of which responses need some themselves, and the
engine's parser overflows its stack at some thousands."""
MAX_GEOMETRY_DEPTH = 32
"""Maximum nesting of a geometry: its parser calls itself for each level."""
MAX_SPARSE_INDEX = 2**32 - 2

_ALL = tuple(DataType)
_INTEGERS = tuple(INTEGER_RANGES)
_FLOATS = (DataType.FLOAT, DataType.DOUBLE)
_LISTS = (DataType.ARRAY, DataType.ARRAY_OF_STRUCT)
_VECTORS = tuple(kind for kind in DataType if kind.is_dense_vector)
_HALF = (DataType.FLOAT16_VECTOR, DataType.BFLOAT16_VECTOR)
_BYTES = (*_HALF, DataType.BINARY_VECTOR)
_WHOLE = (DataType.INT8_VECTOR, DataType.BINARY_VECTOR)
_FLOATING = (*_FLOATS, DataType.FLOAT_VECTOR, *_HALF, DataType.SPARSE_FLOAT_VECTOR)
_SPARSE = (DataType.SPARSE_FLOAT_VECTOR,)
_STRUCTS = (DataType.ARRAY_OF_STRUCT,)
_JSON = (DataType.JSON,)
_TEXTS = (DataType.VARCHAR, DataType.TEXT)

NOT_NULL = Rule(
    id="not_null",
    types=_ALL,
    demand="not null, unless the field is nullable or has a default",
    message="the field '{name}' is not nullable but the file contains null value",
    remedy="Fill the value, or use a collection in which the field is nullable or has a default.",
)
TYPE = Rule(
    id="type",
    types=_ALL,
    demand="of a kind that converts to the type without a guess: see the table of forms",
    message="the {noun} is {actual}, the field is {type}",
    remedy="{remedy}",
)
NUMBER_RANGE = Rule(
    id="number_range",
    types=(*_INTEGERS, *_FLOATS, *_SPARSE),
    demand="within the type's range",
    message="out of range for {kind} ({low} to {high})",
    remedy="Correct the value, or use a field with a wider type.",
)
ELEMENT_RANGE = Rule(
    id="element_range",
    types=_VECTORS,
    demand="every element within the range of the type's elements",
    message="element {position} is out of range for {kind} ({low} to {high})",
    remedy="Scale the values, or use a vector type with a larger range.",
)
WHOLE_NUMBER = Rule(
    id="whole_number",
    types=(*_INTEGERS, *_WHOLE),
    demand="whole numbers; `5.0` counts as 5",
    message="{number} is not a whole number",
    remedy="Round it, or use a field of a floating-point type.",
)
EXACT_NUMBER = Rule(
    id="exact_number",
    types=_INTEGERS,
    demand="in JSON and CSV written with digits only from 2^53 on",
    message="with a fraction or exponent a number is exact below 2^53 only",
    remedy="Write whole numbers of this size with digits only.",
)
FINITE = Rule(
    id="finite",
    types=(*_INTEGERS, *_FLOATING, *_WHOLE),
    demand="neither NaN nor infinity",
    message="value '{word}' is not a number or infinity",
    remedy="Replace it by a finite number, or leave the row out.",
)
TEXT_ENCODING = Rule(
    id="text_encoding",
    types=(*_TEXTS, *_JSON),
    demand="valid UTF-8",
    message="field '{name}' contains invalid UTF-8 data",
    remedy="Write the text in UTF-8.",
)
TEXT_LENGTH = Rule(
    id="text_length",
    types=_TEXTS,
    demand=f"at most `max_length` bytes of UTF-8; {MAX_TEXT_BYTES:,} in a Text field without it",
    message="value length({length}) for field {name} exceeds max_length({max_length})",
    remedy="Lengths count UTF-8 bytes. Shorten the text, or use a field with a larger max_length.",
)
TIME = Rule(
    id="time",
    types=(DataType.TIMESTAMPTZ,),
    demand="ISO 8601 with seconds, or a date alone; offsets from -12:00 to +14:00, years from 0001 to 9999 in UTC. "
    "Without an offset in the `timezone` of the collection. Digits beyond microseconds are cut off",
    message="{problem}",
    remedy="Write times such as 2025-01-31T08:30:00.25+08:00.",
)
GEOMETRY = Rule(
    id="geometry",
    types=(DataType.GEOMETRY,),
    demand="points, lines, polygons, several of these, and collections, with finite coordinates and closed rings; at "
    f"most {MAX_GEOMETRY_DEPTH} levels of nesting and {MAX_TEXT_BYTES:,} bytes. They are stored in one form: "
    "`point(1.50 2)` as `POINT (1.5 2)`",
    message="no geometry: {problem}",
    remedy="Write well-known text such as POINT (13.4 52.5).",
)
ARRAY_CAPACITY = Rule(
    id="array_capacity",
    types=_LISTS,
    demand="at most `max_capacity` elements",
    message="array capacity({count}) for field {name} exceeds max_capacity({max_capacity})",
    remedy="Shorten the array, or use a field with a larger max_capacity.",
)
NO_NULL_ELEMENTS = Rule(
    id="no_null_elements",
    types=(*_LISTS, *_VECTORS, *_SPARSE),
    demand="no element null",
    message="array element is not allowed to be null value for field '{name}'",
    remedy="Fill the element, or make the whole value null if the field is nullable.",
)
STRUCT_KEYS = Rule(
    id="struct_keys",
    types=_STRUCTS,
    demand="no other fields in a struct than the schema's, each once",
    message="unexpected field in StructArray element: {key}",
    remedy="Each struct holds {fields}, once.",
)
STRUCT_FIELDS = Rule(
    id="struct_fields",
    types=_STRUCTS,
    demand="every field of the schema in every struct",
    message="inconsistent field count in StructArray element: {missing} is missing",
    remedy="Each struct holds {fields}, once.",
)
VECTOR_DIM = Rule(
    id="vector_dim",
    types=_VECTORS,
    demand="exactly `dim` elements",
    message="the vector has {count} dimensions, the field has {dim}",
    remedy="All vectors of a field have one length: correct the row, or use a field of that dim.",
)
VECTOR_BYTES = Rule(
    id="vector_bytes",
    types=_BYTES,
    demand="as bytes exactly `2 * dim` (half floats) or `dim / 8` (bits) of them",
    message="the vector has {count} bytes, the field needs {needed} (dim {dim})",
    remedy="All vectors of a field have one length: correct the row, or use a field of that dim.",
)
VECTOR_FLAT = Rule(
    id="vector_flat",
    types=_VECTORS,
    demand="a flat list of numbers",
    message="element {position} should be a number, got {actual}",
    remedy="A vector is a flat list of numbers.",
)
SPARSE_INDEX = Rule(
    id="sparse_index",
    types=_SPARSE,
    demand="indices that are whole numbers",
    message="the index {index!r} is not a whole number",
    remedy='Write {{"3": 0.5, "17": 1.2}} or {{"indices": [3, 17], "values": [0.5, 1.2]}}.',
)
SPARSE_INDEX_RANGE = Rule(
    id="sparse_index_range",
    types=_SPARSE,
    demand=f"indices from 0 to {MAX_SPARSE_INDEX}",
    message=f"the index {{index}} is out of range (0 to {MAX_SPARSE_INDEX})",
    remedy="Number the dimensions from 0.",
)
SPARSE_ORDER = Rule(
    id="sparse_order",
    types=_SPARSE,
    demand="each index once; the order does not matter",
    message="unsorted or same indices in sparse float vector",
    remedy="Give each index of a vector once.",
)
SPARSE_LENGTHS = Rule(
    id="sparse_lengths",
    types=_SPARSE,
    demand="as many values as indices",
    message="indices and values length mismatch: {indices} and {values}",
    remedy="Give each index one value.",
)
SPARSE_WEIGHT = Rule(
    id="sparse_weight",
    types=_SPARSE,
    demand="values that are numbers",
    message="the value {weight!r} is not a number",
    remedy='Write {{"3": 0.5, "17": 1.2}} or {{"indices": [3, 17], "values": [0.5, 1.2]}}.',
)
SPARSE_WEIGHT_SIGN = Rule(
    id="sparse_weight_sign",
    types=_SPARSE,
    demand="no negative values",
    message="negative value in sparse float vector",
    remedy="Sparse weights are zero or more.",
)
JSON_SYNTAX = Rule(
    id="json_syntax",
    types=_JSON,
    demand="JSON",
    message="the text is not JSON: {error}",
    remedy="Write each value with a JSON library; a plain word needs quotes.",
)
JSON_SIZE = Rule(
    id="json_size",
    types=_JSON,
    demand=f"at most {MAX_JSON_BYTES} bytes of text, a row's dynamic values together too",
    message=f"the JSON text has more than {MAX_JSON_BYTES} bytes, the limit",
    remedy="Store the large part elsewhere, or split it over several fields.",
)
JSON_DEPTH = Rule(
    id="json_depth",
    types=_JSON,
    demand=f"at most {MAX_JSON_DEPTH} levels of nesting",
    message=f"the JSON is nested more than {MAX_JSON_DEPTH} deep",
    remedy="Flatten the value, or store it as text in a VarChar field.",
)
JSON_NUMBERS = Rule(
    id="json_numbers",
    types=_JSON,
    demand="numbers within the range of float64; whole ones beyond 64 bits are rounded, with a warning",
    message="a number in the JSON is out of range for float64 (-1.8e308 to 1.8e308)",
    remedy="Write it as text.",
)
DYNAMIC_TEXT = Rule(
    id="dynamic_text",
    types=_JSON,
    demand="a `$meta` given as text: JSON",
    message="illegal value for dynamic field, not a JSON format string ({error})",
    remedy="Write each value with a JSON library.",
)
DYNAMIC_OBJECT = Rule(
    id="dynamic_object",
    types=_JSON,
    demand="a `$meta`: an object",
    message="illegal value for dynamic field, not a JSON object",
    remedy='Write an object such as {{"colour": "red"}}, or leave the value null.',
)
DYNAMIC_KEYS = Rule(
    id="dynamic_keys",
    types=_JSON,
    demand="a key of a row once, in `$meta` or outside; none that is a field in `$meta`",
    message="duplicated key is not allowed, key={key}",
    remedy="Give every key once in a row, $meta included; a field has a column or key of its own.",
)

RULES: tuple[Rule, ...] = (
    NOT_NULL,
    TYPE,
    NUMBER_RANGE,
    ELEMENT_RANGE,
    WHOLE_NUMBER,
    EXACT_NUMBER,
    FINITE,
    TEXT_ENCODING,
    TEXT_LENGTH,
    TIME,
    GEOMETRY,
    ARRAY_CAPACITY,
    NO_NULL_ELEMENTS,
    STRUCT_KEYS,
    STRUCT_FIELDS,
    VECTOR_DIM,
    VECTOR_BYTES,
    VECTOR_FLAT,
    SPARSE_INDEX,
    SPARSE_INDEX_RANGE,
    SPARSE_ORDER,
    SPARSE_LENGTHS,
    SPARSE_WEIGHT,
    SPARSE_WEIGHT_SIGN,
    JSON_SYNTAX,
    JSON_SIZE,
    JSON_DEPTH,
    JSON_NUMBERS,
    DYNAMIC_TEXT,
    DYNAMIC_OBJECT,
    DYNAMIC_KEYS,
)
