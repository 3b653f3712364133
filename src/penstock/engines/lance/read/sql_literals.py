"""Literals and integer arithmetic in the SQL of Lance's scanner (DataFusion's, less CASE and bit operators)."""

from __future__ import annotations

import math

from penstock.filters.ast import ArithmeticOp, CompareOp, Scalar

SQL_OPS = {
    CompareOp.EQ: "=",
    CompareOp.NE: "<>",
    CompareOp.LT: "<",
    CompareOp.LE: "<=",
    CompareOp.GT: ">",
    CompareOp.GE: ">=",
}


def text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def integer(value: int) -> str:
    # The smallest integer would be read as minus a number that doesn't fit, and become a float.
    return f"cast('{value}' as bigint)" if value == -(2**63) else str(value)


def floating(value: float) -> str:
    if math.isinf(value):
        return f"cast('{value}' as double)"
    return repr(value)


def literal(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return integer(value)
    return floating(value) if isinstance(value, float) else text(value)


def integer_step(op: ArithmeticOp, base: str, value: int) -> str:
    """``base op value`` for a bigint expression, wrapping at 64 bits."""
    match op:
        case ArithmeticOp.DIVIDE if value == -1:
            # The one quotient that overflows would fail the whole query.
            return f"(0 - {base})"
        case ArithmeticOp.REMAINDER if value == -1:
            return f"({base} % 1)"
        case ArithmeticOp.BIT_AND:
            return _masked(base, value)
        case ArithmeticOp.BIT_OR:
            return f"({base} + {integer(value)} - {_masked(base, value)})"
        case ArithmeticOp.BIT_XOR:
            return f"({base} + {integer(value)} - {_masked(base, value)} * 2)"
    return f"({base} {op} {integer(value)})"


def _masked(base: str, mask: int) -> str:
    """``base & mask`` by shifts: each run of set bits is what remains between two shifts to the right."""
    terms = []
    bits = mask % 2**64
    low = 0
    while bits >> low:
        if not bits >> low & 1:
            low += 1
            continue
        high = low
        while bits >> high & 1:
            high += 1
        run = f"({base} >> {low})" if low else base
        if high < 64:
            run = f"({run} - (({base} >> {high}) << {high - low}))"
        terms.append(f"({run} << {low})" if low else run)
        low = high
    if len(terms) == 1:
        return terms[0]
    return f"({' + '.join(terms)})" if terms else f"({base} * 0)"
