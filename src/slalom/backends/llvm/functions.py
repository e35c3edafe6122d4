"""Activations and losses of single numbers, and their slopes, as formulas.

A formula is told :class:`Value`, writes LLVM's assembly of vectors of them, and returns a value and
what writes its slope where that is wanted. Tails keep their digits, so that nothing is the
difference of numbers that are nearly equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from slalom.backends.llvm.arithmetic import Arithmetic, literal

Slope = Callable[[], "Value"]
Formula = Callable[..., tuple["Value", Slope]]


class Text(Arithmetic):
    """Lines on vectors of float32, of this width."""

    def __init__(self, width: int):
        super().__init__("float", lanes=width)

    def value(self, name: str) -> Value:
        """What stands in the text by a name."""
        return Value(self, name)

    def number(self, value: float) -> str:
        """A number in every lane."""
        return self._same(literal(value, "float"), "float")

    def do(self, operation: str, *operands: str) -> Value:
        """An operation, as rules name it."""
        return Value(self, self._apply(operation, operands))

    def call(self, function: str, *operands: str) -> Value:
        """A function of the module's own."""
        given = ", ".join(f"{self._type} {o}" for o in operands)
        return Value(self, self._emit(f"call {self._type} @{function}({given})"))

    def copysign(self, size: str, sign: str) -> Value:
        return Value(self, self._call("copysign", size, sign))


class Value:
    """A vector in a text; operators write to it."""

    __slots__ = ("name", "text")

    def __init__(self, text: Text, name: str):
        self.text, self.name = text, name

    def _with(self, operation: str, *others: Any) -> Value:
        return self.text.do(operation, self.name, *map(self._of, others))

    def _of(self, other: Any) -> str:
        return other.name if isinstance(other, Value) else self.text.number(other)

    def __add__(self, other: Any) -> Value:
        return self._with("add", other)

    def __sub__(self, other: Any) -> Value:
        return self._with("sub", other)

    def __mul__(self, other: Any) -> Value:
        return self._with("mul", other)

    def __truediv__(self, other: Any) -> Value:
        return self._with("div", other)

    def __radd__(self, other: float) -> Value:
        return self._with("add", other)

    def __rmul__(self, other: float) -> Value:
        return self._with("mul", other)

    def __rsub__(self, other: float) -> Value:
        return self.text.do("sub", self.text.number(other), self.name)

    def __rtruediv__(self, other: float) -> Value:
        return self.text.do("div", self.text.number(other), self.name)

    def __neg__(self) -> Value:
        return self._with("neg")

    def __abs__(self) -> Value:
        return self._with("abs")

    def __gt__(self, other: Any) -> Value:
        return self._with("gt", other)

    def __lt__(self, other: Any) -> Value:
        return self._with("lt", other)

    def where(self, one: Any, other: Any) -> Value:
        """One where this holds, else the other."""
        return self.text.do("where", self.name, self._of(one), self._of(other))

    def clip(self, low: Any, high: Any) -> Value:
        """No less and no more; NaN stays."""
        return self._with("maximum", low)._with("minimum", high)

    def signed(self, sign: Value) -> Value:
        return self.text.copysign(self.name, sign.name)

    def exp(self) -> Value:
        """Of what is not above 0."""
        return self.text.call("exp", self.name)

    def log(self) -> Value:
        return self.text.call("log", self.name)


def polynomial(x: Value, *coefficients: float) -> Value:
    """The highest power first."""
    first, *others = coefficients
    found = x * first + others[0]
    for c in others[1:]:
        found = found * x + c
    return found


TANH = (
    -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1,
)  # fmt: skip
"""tanh(x) = x + x^3 p(x^2) to 0.625: the coefficients of Moshier's Cephes library."""

EXP = (
    1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1,
    5.0000001201e-1,
)  # fmt: skip
"""exp(x) = 1 + x + x^2 p(x) to log(2) / 2; from there, too."""

TAIL = (
    -0.020857548450199978, 0.11373804778225748, -0.2313456704658911, 0.19604524251156358,
    -0.08302591111698814, 0.09811377097182589, 0.07770884966592415, 0.11038123240567055,
    0.11955441549900654, 0.11968756945351995,
)  # fmt: skip
"""The normal tail from a on is exp(-a^2 / 2) t p(t) with t = 1 / (1 + 0.3 a): interpolated at
Chebyshev's points for a up to 13.5 with 50 digits, to 4.3e-9 of itself."""


def _sigmoid(x: Value) -> tuple[Value, Value]:
    """(1 / (1 + exp(-x)), exp(-|x|))."""
    e = (-abs(x)).exp()
    return (x < 0.0).where(e, 1.0) / (1.0 + e), e


def _expm1(x: Value, e: Value) -> Value:
    """exp(x) - 1 of what is not above 0, where that exponential is known."""
    near = x + x * x * polynomial(x, *EXP)
    return (x > -math.log(2) / 2).where(near, e - 1.0)


def _log1p(u: Value) -> Value:
    """log(1 + u) of u from 0 to 1; of w = 1 + u what was lost in it is log(w) u / (w - 1)."""
    w = 1.0 + u
    left = w - 1.0
    exact = w.log() * (u / left)
    return (left > 0.0).where(exact, u + left)


def relu(x: Value, *_: Value) -> tuple[Value, Slope]:
    return (x < 0.0).where(0.0, x), lambda: (x > 0.0).where(1.0, 0.0)


def tanh(x: Value, *_: Value) -> tuple[Value, Slope]:
    size, square = abs(x), x * x
    e = (size * -2.0).exp()
    far = (1.0 - e * 2.0 / (1.0 + e)).signed(x)
    near = x + square * x * polynomial(square, *TANH)
    y = (size < 0.625).where(near, far)
    return y, lambda: 1.0 - y * y


def sigmoid(x: Value, *_: Value) -> tuple[Value, Slope]:
    y, _e = _sigmoid(x)
    return y, lambda: y * (1.0 - y)


def silu(x: Value, *_: Value) -> tuple[Value, Slope]:
    s, _e = _sigmoid(x)
    return x * s, lambda: s * (1.0 + x * (1.0 - s))


def gelu(x: Value, *_: Value) -> tuple[Value, Slope]:
    """x times the normal distribution up to x."""
    size = abs(x)
    e = (x * x * -0.5).exp()
    t = 1.0 / (1.0 + size * 0.3)
    tail = e * t * polynomial(t, *TAIL)
    up = (x < 0.0).where(tail, 1.0 - tail)
    return x * up, lambda: up + x * e * (1 / math.sqrt(2 * math.pi))


def gelu_tanh(x: Value, *_: Value) -> tuple[Value, Slope]:
    """x (1 + tanh(z)) / 2 is x sigmoid(2 z)."""
    k = math.sqrt(8 / math.pi)
    s, _e = _sigmoid(x * (1.0 + x * x * 0.044715) * k)
    return x * s, lambda: s + x * s * (1.0 - s) * (1.0 + x * x * (3 * 0.044715)) * k


def mish(x: Value, *_: Value) -> tuple[Value, Slope]:
    """x tanh(log(1 + exp(x))), the tanh as a ratio of exponentials."""
    s, e = _sigmoid(x)
    top = (x < 0.0).where(e * (e + 2.0), 1.0 + e * 2.0)
    bottom = (x < 0.0).where(top + 2.0, top + e * e * 2.0)
    t = top / bottom
    return x * t, lambda: t + x * s * (1.0 - t * t)


def elu(x: Value, below: Value, above: Value, inner: Value) -> tuple[Value, Slope]:
    """``above`` x, and under 0 ``below`` (exp(``inner`` x) - 1); SELU and CELU, too."""
    z = (x > 0.0).where(0.0, x) * inner
    e = z.exp()
    y = (x > 0.0).where(x * above, _expm1(z, e) * below)
    return y, lambda: (x > 0.0).where(above, e * below * inner)


def leaky_relu(x: Value, below: Value, *_: Value) -> tuple[Value, Slope]:
    return (x > 0.0).where(x, x * below), lambda: (x > 0.0).where(1.0, below)


def softplus(x: Value, beta: Value, threshold: Value, *_: Value) -> tuple[Value, Slope]:
    """log(1 + exp(``beta`` x)) / ``beta``; x from where ``beta`` x is above the threshold."""
    z = x * beta
    s, e = _sigmoid(z)
    y = (relu(z)[0] + _log1p(e)) / beta
    return (z > threshold).where(x, y), lambda: (z > threshold).where(1.0, s)


def log_sigmoid(x: Value, *_: Value) -> tuple[Value, Slope]:
    s, e = _sigmoid(-x)
    return -(relu(-x)[0] + _log1p(e)), lambda: s


def hardtanh(x: Value, low: Value, high: Value, *_: Value) -> tuple[Value, Slope]:
    return x.clip(low, high), lambda: (x > low).where((x < high).where(1.0, 0.0), 0.0)


def hardsigmoid(x: Value, *_: Value) -> tuple[Value, Slope]:
    inside = (x + 3.0).clip(0.0, 6.0)
    return inside / 6.0, lambda: (x > -3.0).where((x < 3.0).where(1 / 6, 0.0), 0.0)


def hardswish(x: Value, *_: Value) -> tuple[Value, Slope]:
    y = x * (x + 3.0).clip(0.0, 6.0) / 6.0
    return y, lambda: (x > -3.0).where((x < 3.0).where(x / 3.0 + 0.5, 1.0), 0.0)


def softsign(x: Value, *_: Value) -> tuple[Value, Slope]:
    w = 1.0 + abs(x)
    return x / w, lambda: 1.0 / (w * w)


ACTIVATIONS: dict[str, Formula] = {
    f.__name__: f
    for f in (
        relu, tanh, sigmoid, silu, gelu, gelu_tanh, mish, elu, leaky_relu, softplus, log_sigmoid,
        hardtanh, hardsigmoid, hardswish, softsign,
    )
}  # fmt: skip
"""(x, and three numbers) -> (value, slope)."""


def squared_error(z: Value, t: Value, *_: Value) -> tuple[Value, Slope]:
    away = z - t
    return away * away, lambda: away + away


def absolute_error(z: Value, t: Value, *_: Value) -> tuple[Value, Slope]:
    away = z - t
    return abs(away), lambda: (away > 0.0).where(1.0, (away < 0.0).where(-1.0, away * 0.0))


def huber(z: Value, t: Value, delta: Value, outer: Value) -> tuple[Value, Slope]:
    """Half the square to ``delta`` and straight from there, all times ``outer``."""
    away = z - t
    size = abs(away)
    square, straight = away * away * 0.5, (size - delta * 0.5) * delta
    return (size < delta).where(square, straight) * outer, lambda: away.clip(-delta, delta) * outer


def binary_entropy(z: Value, t: Value, *_: Value) -> tuple[Value, Slope]:
    """max(z, 0) - z t + log(1 + exp(-|z|))."""
    s, e = _sigmoid(z)
    return relu(z)[0] - z * t + _log1p(e), lambda: s - t


ERRORS: dict[str, Formula] = {
    f.__name__: f for f in (squared_error, absolute_error, huber, binary_entropy)
}
"""(output, target, and two numbers) -> (loss, slope by the output)."""
