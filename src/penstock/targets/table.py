"""The table of rules per target. ``docs/target-rules.md`` is made from it.

Facts: the sources of Milvus 2.4 to 3.0, the documentation of Zilliz Cloud, and where a running Milvus answers them,
``tests/calibration/test_target_rules.py``. An id is never used again for another rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.targets.rule import ALL, MILVUS, Target, TargetRule

MAX_GROUPS = 1024
MILVUS_FILE_BYTES = 16 << 30
ZILLIZ_FILE_BYTES = 10 << 30
ZILLIZ_TOTAL_BYTES = 100 << 30

_V4, _V5, _V6, _V3 = Target.MILVUS_2_4, Target.MILVUS_2_5, Target.MILVUS_2_6, Target.MILVUS_3_0
_BEFORE_2_6 = frozenset({_V4, _V5})
_CONVERT = "Write the rows as Parquet: penstock convert FILES --schema FILE --out FOLDER."

# Files

FORMAT = TargetRule(
    id="PS101",
    name="unread-format",
    summary="Files other than Parquet, JSON, JSON Lines, CSV and NumPy's .npy are not read.",
    remedy=_CONVERT,
    refused=ALL,
)
CSV_VERSION = TargetRule(
    id="PS102",
    name="csv",
    summary="CSV is read by Milvus from 2.5 on, and not by Zilliz Cloud.",
    remedy=_CONVERT,
    refused=frozenset({_V4, Target.ZILLIZ}),
)
JSON_LINES_VERSION = TargetRule(
    id="PS103",
    name="json-lines",
    summary="JSON Lines (.jsonl, .ndjson) are read by Milvus from late releases of 2.6 on.",
    remedy='Write one list, as {"rows": [...]} in a .json file: penstock convert FILES --type json.',
    refused=_BEFORE_2_6,
    late=frozenset({_V6}),
)
EXTENSION_CASE = TargetRule(
    id="PS104",
    name="extension-case",
    summary="The extension must be in lower case.",
    remedy="Rename the file.",
    refused=ALL,
)
COMPRESSED = TargetRule(
    id="PS105",
    name="compressed-file",
    summary="Compressed files (.gz, .zst, .bz2) are not read; Parquet's own compression is.",
    remedy=f"Decompress the file. Or: {_CONVERT}",
    refused=ALL,
)
GROUPS = TargetRule(
    id="PS106",
    name="too-many-files",
    summary=f"One import takes at most {MAX_GROUPS:,} files (NumPy: sets).",
    remedy="Create several imports, or write fewer, larger files.",
    refused=ALL,
)
FILE_SIZE = TargetRule(
    id="PS107",
    name="file-too-large",
    summary="A file (NumPy: a set) may have 16 GiB, in the setting that Milvus has by default.",
    remedy="Split the file: penstock convert FILES --chunk-size 1GiB.",
    refused=MILVUS,
)
ZILLIZ_FILE_SIZE = TargetRule(
    id="PS108",
    name="file-too-large-for-zilliz",
    summary="A file may have 10 GB in Zilliz Cloud.",
    remedy="Split the file: penstock convert FILES --chunk-size 1GiB.",
    refused=frozenset({Target.ZILLIZ}),
)
ZILLIZ_TOTAL = TargetRule(
    id="PS109",
    name="import-too-large-for-zilliz",
    summary="The files of one import may have 100 GB together in Zilliz Cloud; 512 MB in a free cluster.",
    remedy="Create several imports.",
    refused=frozenset({Target.ZILLIZ}),
)
PARTITION_FOLDERS = TargetRule(
    id="PS110",
    name="partition-folder",
    summary="A folder such as year=2024/ is only a name: its value becomes no column.",
    remedy="Write the value into the files as a column.",
    warned=ALL,
)
NUMPY_DEPRECATED = TargetRule(
    id="PS111",
    name="numpy-in-zilliz",
    summary="The import of NumPy files is deprecated in Zilliz Cloud.",
    remedy=_CONVERT,
    warned=frozenset({Target.ZILLIZ}),
)
EMPTY_FILE = TargetRule(
    id="PS112",
    name="no-rows",
    summary="A file without rows imports nothing, and its job completes.",
    remedy="Leave the file out if that is not meant.",
    warned=ALL,
)

# Collections

NULLABLE = TargetRule(
    id="PS201",
    name="nullable-or-default",
    summary="Nullable fields and defaults exist from Milvus 2.5 on.",
    remedy="Fill the values, and make the field required.",
    refused=frozenset({_V4}),
)
NULLABLE_VECTOR = TargetRule(
    id="PS202",
    name="nullable-vector",
    summary="Vectors may be null from late releases of Milvus 2.6 on.",
    remedy="Leave rows without a vector out, or fill it.",
    refused=_BEFORE_2_6,
    late=frozenset({_V6}),
)
INT8_VECTOR = TargetRule(
    id="PS203",
    name="int8-vector",
    summary="Int8Vector fields exist from Milvus 2.6 on.",
    remedy="Use a FloatVector field.",
    refused=_BEFORE_2_6,
)
LATE_TYPES = TargetRule(
    id="PS204",
    name="type-of-2.6.4",
    summary="Struct arrays, Geometry and Timestamptz exist from Milvus 2.6.4 on.",
    remedy="Use Array, VarChar (well-known text) or Int64 (milliseconds) fields.",
    refused=_BEFORE_2_6,
    late=frozenset({_V6}),
)
TEXT_TYPE = TargetRule(
    id="PS205",
    name="text-type",
    summary="Text fields exist from Milvus 3.0 on.",
    remedy="Use a VarChar field with a max_length of up to 65,535 bytes.",
    refused=frozenset({_V4, _V5, _V6}),
)
FUNCTIONS = TargetRule(
    id="PS206",
    name="function",
    summary="Functions such as BM25 exist from Milvus 2.5 on.",
    remedy="Compute the sparse vectors before the import.",
    refused=frozenset({_V4}),
)
NULLABLE_STRUCT = TargetRule(
    id="PS207",
    name="nullable-struct",
    summary="Struct arrays can't be nullable in Zilliz Cloud.",
    remedy="Write empty lists instead of nulls.",
    refused=frozenset({Target.ZILLIZ}),
)
NUMPY_TYPES = TargetRule(
    id="PS208",
    name="numpy-collection",
    summary="NumPy files can't be imported into a collection with Array, struct or sparse vector fields.",
    remedy=_CONVERT,
    refused=ALL,
)

# Columns of Parquet files

LARGE_STRING = TargetRule(
    id="PS301",
    name="large-string",
    summary="Text columns must have the Arrow type string: large_string, as pandas 3 and polars write it, and "
    "string_view are refused.",
    remedy="Cast the column to string before writing, or run penstock convert.",
    refused=ALL,
)
LARGE_LIST = TargetRule(
    id="PS302",
    name="large-list",
    summary="Vectors and arrays must be columns of list: large_list and list views are refused.",
    remedy="Cast the column to list before writing, or run penstock convert.",
    refused=ALL,
)
DICTIONARY = TargetRule(
    id="PS303",
    name="dictionary",
    summary="Columns of the Arrow type dictionary (pandas categories) are refused.",
    remedy="Write the plain values, or run penstock convert.",
    refused=ALL,
)
DECIMAL = TargetRule(
    id="PS304",
    name="decimal",
    summary="Decimal columns are refused.",
    remedy="Cast the column to float64 or int64, or run penstock convert.",
    refused=ALL,
)
TIME_TYPES = TargetRule(
    id="PS305",
    name="date-or-time",
    summary="Columns of dates, times and timestamps are refused, also for Timestamptz fields.",
    remedy="Write ISO 8601 text, or run penstock convert.",
    refused=ALL,
)
HALF_FLOAT = TargetRule(
    id="PS306",
    name="half-float",
    summary="Columns and lists of half floats (float16) are refused.",
    remedy="Write float32, or the bytes of half float vectors as uint8 lists; penstock convert does.",
    refused=ALL,
)
UNSIGNED = TargetRule(
    id="PS307",
    name="unsigned-integer",
    summary="Columns of unsigned integers are refused for scalar fields.",
    remedy="Cast the column to a signed type, or run penstock convert.",
    refused=ALL,
)
NARROWING = TargetRule(
    id="PS308",
    name="wider-number",
    summary="A column of integers must not be wider than its field, and floats go to Float and Double fields only, "
    "whatever the values are.",
    remedy="Cast the column to the field's type, or run penstock convert.",
    refused=ALL,
)
FIXED_SIZE_LIST = TargetRule(
    id="PS309",
    name="fixed-size-list",
    summary="Columns of fixed-size lists are read from late releases of Milvus 2.6 on.",
    remedy="Cast the column to list before writing, or run penstock convert.",
    refused=_BEFORE_2_6,
    late=frozenset({_V6}),
)
HALF_AS_FLOATS = TargetRule(
    id="PS310",
    name="half-vector-as-floats",
    summary="Float16Vector and BFloat16Vector columns of floats are read from late releases of Milvus 2.6 on; "
    "before, only uint8 lists or binary with 2 * dim bytes.",
    remedy="Write the bytes; penstock convert does.",
    refused=_BEFORE_2_6,
    late=frozenset({_V6}),
)
VECTOR_ELEMENTS = TargetRule(
    id="PS311",
    name="vector-elements",
    summary="FloatVector takes lists of float32 or float64, BinaryVector of uint8, Int8Vector of int8.",
    remedy="Cast the elements, or run penstock convert.",
    refused=ALL,
)
SPARSE_STRUCT = TargetRule(
    id="PS312",
    name="sparse-struct",
    summary="Sparse vectors as struct<indices, values> are read from Milvus 2.5 on.",
    remedy='Write JSON text such as {"3": 0.5}; penstock convert does.',
    refused=frozenset({_V4}),
)
NESTED_FORM = TargetRule(
    id="PS313",
    name="nested-column",
    summary="JSON, sparse vectors, geometries and times are columns of string: structs, lists, maps and binary are "
    "refused (sparse vectors: other structs than <indices, values>).",
    remedy="Write JSON text, well-known text or ISO 8601 text; penstock convert does.",
    refused=ALL,
)
UNKNOWN_COLUMN = TargetRule(
    id="PS314",
    name="unknown-column",
    summary="A column or key without a field, in a collection without a dynamic field, fails the import before "
    "Milvus 2.6, and is dropped without a message from then on.",
    remedy="Leave the column out, or add the field.",
    refused=_BEFORE_2_6,
    warned=frozenset({_V6, _V3, Target.ZILLIZ}),
)
DYNAMIC_COLUMN = TargetRule(
    id="PS315",
    name="dynamic-column",
    summary="Parquet and NumPy columns that are no field do not become dynamic values: only $meta does.",
    remedy="Put the values into a string column $meta of JSON objects; penstock convert does.",
    refused=ALL,
)
OTHER_TYPE = TargetRule(
    id="PS316",
    name="column-type",
    summary="Other Arrow types than the field's own are refused.",
    remedy="Cast the column, or run penstock convert.",
    refused=ALL,
)

# NumPy files

NUMPY_DTYPE = TargetRule(
    id="PS401",
    name="numpy-dtype",
    summary="The dtype must be the field's own: int32 for Int32, float32 for Float; vectors float32 or float64.",
    remedy="Save array.astype(...) with the field's type, or run penstock convert.",
    refused=ALL,
)
FORTRAN_ORDER = TargetRule(
    id="PS402",
    name="fortran-order",
    summary="The order of a Fortran-ordered matrix is not looked at: its vectors would be read transposed, without "
    "an error.",
    remedy="Save numpy.ascontiguousarray(matrix).",
    refused=ALL,
)
NUMPY_BYTES = TargetRule(
    id="PS403",
    name="numpy-bytes",
    summary="Texts of the dtype S are not checked for max_length, and empty ones stay as NUL bytes.",
    remedy="Save texts with the dtype U.",
    warned=ALL,
)
NUMPY_UNKNOWN = TargetRule(
    id="PS404",
    name="numpy-unknown-file",
    summary="A file that is named as no field is ignored without a message.",
    remedy="Give the file the name of its field, or leave it out.",
    warned=ALL,
)

# Text

WHOLE_NUMBER = TargetRule(
    id="PS501",
    name="integer-with-fraction",
    summary="Numbers for integer fields must be written with digits only: 1.0 and 1e3 are refused, without the name "
    "of the field.",
    remedy="Write 1 instead of 1.0: such columns were floats once, often because of nulls in pandas.",
    refused=ALL,
)
BOM = TargetRule(
    id="PS502",
    name="byte-order-mark",
    summary="A byte order mark is not skipped: JSON is refused, and in CSV it becomes part of the first header.",
    remedy="Write UTF-8 without it (encoding='utf-8', not 'utf-8-sig').",
    refused=ALL,
)
JSON_ROOT = TargetRule(
    id="PS503",
    name="json-root",
    summary="A .json file must be a list of objects, or an object with the list as its first key, rows.",
    remedy='Write {"rows": [...]}, or run penstock convert --type json.',
    refused=ALL,
)
LINES_AS_LIST = TargetRule(
    id="PS504",
    name="json-lines-list",
    summary="A .jsonl or .ndjson file must not begin with a list.",
    remedy="Write one object per line, or name the file .json.",
    refused=ALL,
)
JSON_VALUE = TargetRule(
    id="PS505",
    name="json-field-value",
    summary="The value of a JSON field is an object, or a text that holds JSON: a bare list, number or boolean is "
    "refused.",
    remedy='Write such a value as text: "[1, 2]".',
    refused=ALL,
)
CSV_DYNAMIC = TargetRule(
    id="PS506",
    name="csv-dynamic-text",
    summary='Dynamic values of CSV files stay texts: 5 becomes "5".',
    remedy="Put the values into a column $meta of JSON objects.",
    warned=frozenset({_V5, _V6, _V3}),
)

RULES: Sequence[TargetRule] = (
    FORMAT,
    CSV_VERSION,
    JSON_LINES_VERSION,
    EXTENSION_CASE,
    COMPRESSED,
    GROUPS,
    FILE_SIZE,
    ZILLIZ_FILE_SIZE,
    ZILLIZ_TOTAL,
    PARTITION_FOLDERS,
    NUMPY_DEPRECATED,
    EMPTY_FILE,
    NULLABLE,
    NULLABLE_VECTOR,
    INT8_VECTOR,
    LATE_TYPES,
    TEXT_TYPE,
    FUNCTIONS,
    NULLABLE_STRUCT,
    NUMPY_TYPES,
    LARGE_STRING,
    LARGE_LIST,
    DICTIONARY,
    DECIMAL,
    TIME_TYPES,
    HALF_FLOAT,
    UNSIGNED,
    NARROWING,
    FIXED_SIZE_LIST,
    HALF_AS_FLOATS,
    VECTOR_ELEMENTS,
    SPARSE_STRUCT,
    NESTED_FORM,
    UNKNOWN_COLUMN,
    DYNAMIC_COLUMN,
    OTHER_TYPE,
    NUMPY_DTYPE,
    FORTRAN_ORDER,
    NUMPY_BYTES,
    NUMPY_UNKNOWN,
    WHOLE_NUMBER,
    BOM,
    JSON_ROOT,
    LINES_AS_LIST,
    JSON_VALUE,
    CSV_DYNAMIC,
)
RULES_BY_ID: Mapping[str, TargetRule] = {rule.id: rule for rule in RULES}
