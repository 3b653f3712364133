"""Collection schemas as Milvus REST v2 writes them (the ``schema`` object of ``collections/create``).

::

    {"autoId": false, "enableDynamicField": true, "fields": [
        {"fieldName": "pk", "dataType": "Int64", "isPrimary": true},
        {"fieldName": "tag", "dataType": "VarChar", "nullable": true, "elementTypeParams": {"max_length": "128"}},
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}}],
     "structFields": [{"fieldName": "chunks", "typeParams": {"max_capacity": 64}, "fields": [
        {"fieldName": "page", "dataType": "Array", "elementDataType": "Int32"},
        {"fieldName": "v", "dataType": "ArrayOfVector", "elementDataType": "FloatVector",
         "elementTypeParams": {"dim": 4}}]}],
     "functions": [{"name": "terms", "type": "BM25", "inputFieldNames": ["tag"], "outputFieldNames": ["sparse"]}]}

A field within a struct is an ``Array`` or ``ArrayOfVector`` here, as it is stored; in a
:class:`~penstock.domain.schema.Field` its type is that of one element.

Source: Milvus REST v2 ``collections/create``. Keys are case-insensitive, as in Milvus's own decoder; unknown keys are
ignored. Values keep their case.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from penstock.domain.functions import FUNCTION_NUMBERS, Function, FunctionType
from penstock.domain.parameter_values import value_text
from penstock.domain.parse_int import number_of_digits
from penstock.domain.schema import CollectionSchema, DataType, Field
from penstock.errors import InvalidSchema, MissingParameter, Unsupported, shorten, shorten_name

_DATA_TYPES = {data_type.value: data_type for data_type in DataType}
_UNSUPPORTED_TYPES = frozenset({"String"})
_STRUCT_TYPES = frozenset({"ArrayOfVector", "ArrayOfStruct"})
_NUMBER_PARAMS = {"dim": "dim", "max_length": "max_length", "max_capacity": "max_capacity"}


def schema_from_rest(data: Mapping[str, Any]) -> CollectionSchema:
    """Parse a REST ``schema`` object; the rules between its fields are left to ``schema.check()``.

    Raises:
        InvalidSchema: a type, default or type parameter can't be understood.
        MissingParameter: a field without a name or type.
        Unsupported: a data type or function that Penstock does not serve, by name.
    """
    members = _lower(data, "schema")
    functions = tuple(_function(item) for item in _items(members, "functions"))
    outputs = {name for function in functions for name in function.outputs}
    return CollectionSchema(
        fields=(
            *(_with_output_mark(_field(item), outputs) for item in _items(members, "fields")),
            *(_struct(item) for item in _items(members, "structfields")),
        ),
        auto_id=_bool(members, "autoid", "autoId"),
        # Documentation of Milvus, and types of its Node.js client, have the second spelling.
        dynamic=_bool(members, "enabledynamicfield", "enableDynamicField")
        or _bool(members, "enableddynamicfield", "enabledDynamicField"),
        description=_text(members, "description", "schema"),
        functions=functions,
    )


def field_from_rest(data: Mapping[str, Any]) -> Field:
    """Parse one item of the ``fields`` of a REST ``schema`` object. Raises as :func:`schema_from_rest`."""
    return _field(data)


def schema_to_rest(schema: CollectionSchema) -> dict[str, Any]:
    """Convert a schema to the REST ``schema`` object: ``schema_from_rest(schema_to_rest(s)) == s``.

    Except that struct fields come last, wherever they stood.
    """
    rest: dict[str, Any] = {
        "autoId": schema.auto_id,
        "enableDynamicField": schema.dynamic,
        "fields": [_field_to_rest(field) for field in schema if field.type is not DataType.ARRAY_OF_STRUCT],
    }
    structs = [_struct_to_rest(field) for field in schema if field.type is DataType.ARRAY_OF_STRUCT]
    if structs:
        rest["structFields"] = structs
    if schema.functions:
        rest["functions"] = [_function_to_rest(function) for function in schema.functions]
    if schema.description:
        rest["description"] = schema.description
    return rest


def _function(data: Any) -> Function:
    members = _lower(data, "function")
    name = _text(members, "name", "function")
    kind = _function_type(members.get("type"), name)
    if _has_params(members.get("params"), name):
        raise InvalidSchema("BM25 function accepts no params", function=name)
    return Function(
        name=name,
        type=kind,
        inputs=_texts(members, "inputfieldnames", name),
        outputs=_texts(members, "outputfieldnames", name),
        description=_text(members, "description", name),
    )


def _function_type(value: Any, function: str) -> FunctionType:
    """Parse the type, a name or Milvus's number of it; others than BM25 call services or models."""
    if value in (FunctionType.BM25, FUNCTION_NUMBERS[FunctionType.BM25]) and not isinstance(value, bool):
        return FunctionType.BM25
    if value is None or value == "":
        raise MissingParameter(f"missing required parameters, error: the function {function!r} has no Type")
    raise Unsupported(
        f"function type {shorten(value)} of function {shorten(function)} is not supported by this server; "
        f"the only one is {FunctionType.BM25}",
        feature="functions",
        type=value,
    )


def _has_params(params: Any, function: str) -> bool:
    if params is None:
        return False
    if not isinstance(params, Mapping):
        raise InvalidSchema(f"the params of function {shorten(function)} should be a JSON object", function=function)
    return bool(params)


def _function_to_rest(function: Function) -> dict[str, Any]:
    rest: dict[str, Any] = {
        "name": function.name,
        "type": function.type.value,
        "inputFieldNames": list(function.inputs),
        "outputFieldNames": list(function.outputs),
    }
    return rest | ({"description": function.description} if function.description else {})


def _with_output_mark(field: Field, outputs: Collection[str]) -> Field:
    return replace(field, function_output=True) if field.name in outputs else field


def _field(data: Any) -> Field:
    members = _lower(data, "field")
    name = _text(members, "fieldname", "field")
    type_name = _text(members, "datatype", name or "field")
    if not name or not type_name:
        key = "DataType" if name else "FieldName"
        raise MissingParameter(f"missing required parameters, error: the field {name!r} has no {key}", field=name)
    kind = _data_type(type_name, name)
    element_name = _text(members, "elementdatatype", name)
    params = members.get("elementtypeparams")
    params = {} if params is None else _type_params(params, f"elementTypeParams of field {name}")
    numbers = {
        ours: _number(params[theirs], theirs, name) for theirs, ours in _NUMBER_PARAMS.items() if theirs in params
    }
    return Field(
        name=name,
        type=kind,
        element_type=_element_type(element_name, name) if element_name else None,
        dim=numbers.get("dim"),
        max_length=numbers.get("max_length"),
        max_capacity=numbers.get("max_capacity"),
        primary=_bool(members, "isprimary", "isPrimary"),
        partition_key=_bool(members, "ispartitionkey", "isPartitionKey"),
        clustering_key=_bool(members, "isclusteringkey", "isClusteringKey"),
        nullable=_bool(members, "nullable", "nullable"),
        default=_default(members.get("defaultvalue"), kind, name),
        description=_text(members, "description", name),
        params={key: value_text(value) for key, value in params.items() if key not in _NUMBER_PARAMS},
    )


def _field_to_rest(field: Field) -> dict[str, Any]:
    rest: dict[str, Any] = {"fieldName": field.name, "dataType": field.type.value}
    flags = {
        "isPrimary": field.primary,
        "isPartitionKey": field.partition_key,
        "isClusteringKey": field.clustering_key,
        "nullable": field.nullable,
    }
    rest.update({key: True for key, on in flags.items() if on})
    if field.element_type is not None:
        rest["elementDataType"] = field.element_type.value
    if field.default is not None:
        rest["defaultValue"] = field.shown_default
    if field.description:
        rest["description"] = field.description
    numbers = {theirs: getattr(field, ours) for theirs, ours in _NUMBER_PARAMS.items()}
    params = {key: value for key, value in numbers.items() if value is not None} | dict(field.params)
    if params:
        rest["elementTypeParams"] = params
    return rest


def _struct(data: Any) -> Field:
    members = _lower(data, "struct field")
    name = _text(members, "fieldname", "struct field")
    if not name:
        raise MissingParameter("missing required parameters, error: a struct field has no FieldName", field=name)
    subfields = [_struct_part(item, name) for item in _items(members, "fields")]
    params = members.get("typeparams")
    params = {} if params is None else _type_params(params, f"typeParams of struct field {name}")
    capacity = _number(params["max_capacity"], "max_capacity", name) if "max_capacity" in params else None
    if capacity is None:
        # Where the struct lacks it, its fields may have it: as arrays they all have one length.
        capacity = next((subfield.max_capacity for subfield in subfields if subfield.max_capacity is not None), None)
    return Field(
        name=name,
        type=DataType.ARRAY_OF_STRUCT,
        max_capacity=capacity,
        nullable=_bool(members, "nullable", "nullable"),
        description=_text(members, "description", name),
        params={key: value_text(value) for key, value in params.items() if key != "max_capacity"},
        fields=tuple(replace(subfield, max_capacity=None) for subfield in subfields),
    )


def _struct_part(data: Any, struct: str) -> Field:
    """Parse a struct's field, with the type of one element; it keeps ``max_capacity`` for the struct."""
    members = _lower(data, f"field of struct field {struct}")
    name = f"{struct}[{_text(members, 'fieldname', struct)}]"
    container = _text(members, "datatype", name)
    if container not in ("Array", "ArrayOfVector"):
        raise InvalidSchema(
            "invalid parameter, fields in StructArrayField must be Array or ArrayOfVector, "
            f"field name = {name}, field type = {container}",
            field=name,
        )
    element = _text(members, "elementdatatype", name)
    if not element:
        raise MissingParameter(f"missing required parameters, error: the field {name!r} has no ElementDataType")
    kind = _element_type(element, name)
    if kind.is_vector != (container == "ArrayOfVector"):
        raise InvalidSchema(f"element type {element} is not supported for {container} field {name}", field=name)
    rest = {key: value for key, value in members.items() if key != "elementdatatype"}
    return _field({**rest, "datatype": element})


def _struct_to_rest(field: Field) -> dict[str, Any]:
    rest: dict[str, Any] = {
        "fieldName": field.name,
        "fields": [_struct_part_to_rest(subfield) for subfield in field.fields],
        "typeParams": {"max_capacity": field.max_capacity, **field.params},
    }
    if field.nullable:
        rest["nullable"] = True
    if field.description:
        rest["description"] = field.description
    return rest


def _struct_part_to_rest(field: Field) -> dict[str, Any]:
    rest = _field_to_rest(field)
    return {
        **rest,
        "dataType": "ArrayOfVector" if field.type.is_vector else "Array",
        "elementDataType": rest["dataType"],
    }


def _data_type(type_name: str, field: str) -> DataType:
    if type_name in _STRUCT_TYPES:
        raise InvalidSchema(
            "invalid parameter, array of vector can only be in the struct array field, and struct array fields stand "
            f"in structFields, field name: {shorten_name(field)}",
            field=field,
            type=type_name,
        )
    if type_name in _UNSUPPORTED_TYPES:
        raise Unsupported(
            f"data type {type_name} of field {shorten_name(field)} is not supported by this server",
            field=field,
            type=type_name,
        )
    if type_name not in _DATA_TYPES:
        raise InvalidSchema(
            f"invalid parameter, data type {shorten(type_name)} is invalid(case sensitive).",
            field=field,
            type=type_name,
        )
    return _DATA_TYPES[type_name]


def _element_type(type_name: str, field: str) -> DataType:
    if type_name not in {*_DATA_TYPES, *_UNSUPPORTED_TYPES, *_STRUCT_TYPES}:
        raise InvalidSchema(
            f"invalid parameter, element data type {shorten(type_name)} is invalid(case sensitive).",
            field=field,
            type=type_name,
        )
    return _data_type(type_name, field)


def _default(value: Any, kind: DataType, field: str) -> bool | int | float | str | None:
    """Convert a default: in JSON an integer may come as ``3.0``. Fit and range are checked later."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, float) and kind.is_integer and value.is_integer():
        return int(value)
    if isinstance(value, int) and kind is DataType.TIMESTAMPTZ:
        raise InvalidSchema(
            f"convert defaultValue fail, err: the default {shorten(value)} of field {shorten_name(field)} should be "
            "ISO 8601 text",
            field=field,
        )
    if isinstance(value, int) and kind in (DataType.FLOAT, DataType.DOUBLE):
        return float(value)
    if isinstance(value, int | float):
        return value
    raise InvalidSchema(
        f"convert defaultValue fail, err: the default {shorten(value)} does not fit the type {kind.value} "
        f"of field {shorten_name(field)}",
        field=field,
    )


def _number(value: Any, param: str, field: str) -> int:
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    number = None if isinstance(value, bool) else number_of_digits(text)
    if number is None:
        raise InvalidSchema(
            f"invalid {param}: {shorten(value)} of field {shorten_name(field)}, it should be a whole number",
            field=field,
        )
    return number


def _lower(data: Any, what: str, *, fold: bool = True) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise InvalidSchema(f"the {what} should be a JSON object, but got {type(data).__name__}")
    return {str(key).lower() if fold else str(key): value for key, value in data.items()}


def _type_params(data: Any, what: str) -> dict[str, Any]:
    """Type parameters under their names as they are; those that are ``null`` are absent."""
    return {key: value for key, value in _lower(data, what, fold=False).items() if value is not None}


def _items(members: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = members.get(key)
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise InvalidSchema(f"the schema's {key} should be a JSON array, but got {type(value).__name__}")
    return value


def _bool(members: Mapping[str, Any], key: str, shown: str) -> bool:
    value = members.get(key)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise InvalidSchema(f"{shown} should be true or false, but got {shorten(value)}")
    return value


def _texts(members: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = members.get(key)
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise InvalidSchema(f"the {key} of {where} should be a list of strings, but got {shorten(value)}")
    return tuple(value)


def _text(members: Mapping[str, Any], key: str, where: str) -> str:
    value = members.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidSchema(f"the {key} of {where} should be a string, but got {shorten(value)}")
    return value
