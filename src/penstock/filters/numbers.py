"""Number rules shared by the parser and the evaluator: 64-bit C arithmetic, folding, bounds of integer types."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from penstock.errors import InvalidFilter
from penstock.filters.ast import ArithmeticOp, CompareOp
from penstock.filters.literals import INT64_MAX, INT64_MIN


def wrap(value: int) -> int:
    """``value`` modulo 2^64, as a signed number."""
    return (value + 2**63) % 2**64 - 2**63


def to_float32(value: float) -> float:
    """The nearest 32-bit float; beyond its range infinity."""
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def _divide(left: int, right: int) -> int:
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


_INTEGERS: dict[ArithmeticOp, Callable[[int, int], int]] = {
    ArithmeticOp.ADD: lambda left, right: left + right,
    ArithmeticOp.SUBTRACT: lambda left, right: left - right,
    ArithmeticOp.MULTIPLY: lambda left, right: left * right,
    ArithmeticOp.DIVIDE: _divide,
    ArithmeticOp.REMAINDER: lambda left, right: left - right * _divide(left, right),
    ArithmeticOp.BIT_AND: lambda left, right: left & right,
    ArithmeticOp.BIT_OR: lambda left, right: left | right,
    ArithmeticOp.BIT_XOR: lambda left, right: left ^ right,
    ArithmeticOp.SHIFT_LEFT: lambda left, right: left << right,
    ArithmeticOp.SHIFT_RIGHT: lambda left, right: left >> right,
}
_FLOATS: dict[ArithmeticOp, Callable[[float, float], float]] = {
    ArithmeticOp.ADD: lambda left, right: left + right,
    ArithmeticOp.SUBTRACT: lambda left, right: left - right,
    ArithmeticOp.MULTIPLY: lambda left, right: left * right,
    ArithmeticOp.DIVIDE: lambda left, right: left / right,
}


def calculate(op: ArithmeticOp, left: int | float, right: int | float) -> int | float | None:
    """Calculate ``left op right``: 64-bit integers if both are, else doubles; None if the operator has no meaning."""
    if isinstance(left, int) and isinstance(right, int):
        return wrap(_INTEGERS[op](left, right))
    if op.integers_only:
        return None
    return _FLOATS[op](float(left), float(right))


def check_step(op: ArithmeticOp, value: int | float) -> None:
    """Refuse a right-hand constant that has no meaning for ``op``."""
    if op.integers_only and not isinstance(value, int):
        raise InvalidFilter(f"the operator {op} takes integers only, not {value}")
    if op in (ArithmeticOp.DIVIDE, ArithmeticOp.REMAINDER) and value == 0:
        raise InvalidFilter("division by zero" if op is ArithmeticOp.DIVIDE else "modulo by zero")
    if op in (ArithmeticOp.SHIFT_LEFT, ArithmeticOp.SHIFT_RIGHT) and not 0 <= value <= 63:
        raise InvalidFilter(f"the shift count {value} is not in the range 0 to 63")


def fold(op: ArithmeticOp, left: int | float, right: int | float) -> int | float:
    """Constant-fold a binary operation."""
    if op.integers_only and not isinstance(left, int):
        raise InvalidFilter(f"the operator {op} takes integers only, not {left}")
    check_step(op, right)
    value = calculate(op, left, right)
    assert value is not None
    return _finite(value, f"{left} {op} {right}")


def power(base: int | float, exponent: int | float) -> int | float:
    """Raise ``base`` to a power: exact for integers as long as the result fits in 64 bits, else a double."""
    text = f"{base} ** {exponent}"
    if isinstance(base, int) and isinstance(exponent, int) and 0 <= exponent < 64 and abs(base) < 2**32:
        exact: int = base**exponent
        if INT64_MIN <= exact <= INT64_MAX:
            return exact
    try:
        return _finite(math.pow(base, exponent), text)
    except (OverflowError, ValueError):
        raise InvalidFilter(f"{text} is not a finite number") from None


def _finite(value: int | float, text: str) -> int | float:
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidFilter(f"{text} is not a finite number")
    return value


def integer_bound(op: CompareOp, value: int | float, low: int, high: int) -> tuple[CompareOp, int]:
    """Rewrite a comparison of an integer in ``low..high`` with any number as one with an integer in that range.

    ``x > 1.5`` becomes ``x > 1``; what can never hold becomes ``x > high``, what always holds ``x <= high``.
    """
    never, always = (CompareOp.GT, high), (CompareOp.LE, high)
    whole = math.floor(value)
    if whole != value:
        match op:
            case CompareOp.EQ:
                return never
            case CompareOp.NE:
                return always
            case CompareOp.LT | CompareOp.LE:
                op = CompareOp.LE
            case _:
                op = CompareOp.GT
    if low <= whole <= high:
        return op, whole
    if op is CompareOp.EQ:
        return never
    if op is CompareOp.NE:
        return always
    below = op in (CompareOp.LT, CompareOp.LE)
    return always if below == (whole > high) else never
