"""Functions of collections: fields that are computed from others when rows are written.

Source: Milvus REST v2 ``collections/create`` (``schema.functions``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from penstock.domain.data_types import DataType
from penstock.errors import InvalidSchema, MissingParameter, shorten

if TYPE_CHECKING:
    from penstock.domain.schema import Field


_MAX_NAME = 255
_MAX_FIELDS = 64
"""Fields that a function may name as inputs, and as outputs."""
_MAX_DESCRIPTION = 65535


class FunctionType(StrEnum):
    """What a function computes. BM25: the terms of a text, for full-text search."""

    BM25 = "BM25"


FUNCTION_NUMBERS: Mapping[FunctionType, int] = {FunctionType.BM25: 1}
"""Milvus's numbers of the types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function with its input and output fields. :func:`check_functions` holds its rules."""

    name: str
    type: FunctionType
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    description: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": self.type.value,
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "description": self.description,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Function:
        values = dict(data)
        values["type"] = FunctionType(values["type"])
        values["inputs"], values["outputs"] = tuple(values["inputs"]), tuple(values["outputs"])
        return cls(**values)


def check_functions(functions: Sequence[Function], fields: Iterable[Field]) -> None:
    """Raise InvalidSchema or MissingParameter with Milvus's text for the first broken rule."""
    by_name = {field.name: field for field in fields}
    names: set[str] = set()
    outputs: set[str] = set()
    for function in functions:
        _check_names(function)
        if function.name in names:
            raise InvalidSchema(f"duplicate function name: {function.name}", function=function.name)
        names.add(function.name)
        _check_input(function, by_name)
        _check_output(function, by_name)
        for output in function.outputs:
            if output in outputs:
                raise InvalidSchema(
                    f"duplicate function output field: function {function.name}, field {output}", field=output
                )
            outputs.add(output)


def _check_names(function: Function) -> None:
    if not function.name:
        raise MissingParameter("function name cannot be empty")
    if len(function.name) > _MAX_NAME or len(function.description) > _MAX_DESCRIPTION:
        raise InvalidSchema(
            f"the name of a function has at most {_MAX_NAME} characters, its description {_MAX_DESCRIPTION}: "
            f"{shorten(function.name)}",
            function=shorten(function.name),
        )
    for kind, fields in (("input", function.inputs), ("output", function.outputs)):
        if not fields:
            raise MissingParameter(f"function {kind} field names cannot be empty, function: {function.name}")
        if len(fields) > _MAX_FIELDS:
            raise InvalidSchema(
                f"function {function.name} names {len(fields):,} {kind} fields; at most {_MAX_FIELDS} are allowed",
                function=function.name,
            )
        for field in fields:
            if not field:
                raise MissingParameter(
                    f"function {kind} field name cannot be empty string, function: {function.name}"
                )
            if kind == "output" and field in function.inputs:
                raise InvalidSchema(
                    "a single field cannot be both input and output in the same function, "
                    f"function: {function.name}, field: {field}",
                    field=field,
                )
            if fields.count(field) > 1:
                raise InvalidSchema(
                    f"each function {kind} field should be used exactly once in the same function, "
                    f"function: {function.name}, {kind} field: {field}",
                    field=field,
                )


def _found(kind: str, name: str, fields: Mapping[str, Field]) -> Field:
    if name not in fields:
        raise InvalidSchema(f"function {kind} field not found: {shorten(name)}", field=name)
    return fields[name]


def _check_input(function: Function, fields: Mapping[str, Field]) -> None:
    inputs = [_found("input", name, fields) for name in function.inputs]
    if len(inputs) != 1 or not inputs[0].type.is_text:
        raise InvalidSchema(
            f"BM25 function input field must be a VARCHAR/TEXT field, got {len(inputs)} field with type "
            f"{inputs[0].type.value}",
            field=inputs[0].name,
        )
    if not inputs[0].enable_analyzer:
        raise InvalidSchema("BM25 function input field must set enable_analyzer to true", field=inputs[0].name)


def _check_output(function: Function, fields: Mapping[str, Field]) -> None:
    outputs = [_found("output", name, fields) for name in function.outputs]
    for output in outputs:
        roles = {
            "primary key": output.primary,
            "partition key or clustering key": output.partition_key or output.clustering_key,
            "nullable": output.nullable,
        }
        for role, has_it in roles.items():
            if has_it:
                raise InvalidSchema(
                    f"function output field cannot be {role}: function {function.name}, field {output.name}",
                    field=output.name,
                )
    if len(outputs) != 1:
        raise InvalidSchema(f"BM25 function only need 1 output field, but got {len(outputs)}", function=function.name)
    if outputs[0].type is not DataType.SPARSE_FLOAT_VECTOR:
        raise InvalidSchema(
            f"BM25 function output field must be a SparseFloatVector field, but got {outputs[0].type.value}",
            field=outputs[0].name,
        )
