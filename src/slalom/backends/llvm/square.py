"""The sum of the squares of a gradient, which tells its norm and whether all of it is finite."""

from __future__ import annotations

from functools import cache

from slalom.backends.llvm.jit import jit

_WIDTH = 16

_TEXT = """
define double @square(ptr %addresses, i64 %begin, i64 %end) nounwind {{
entry:
  %at = getelementptr ptr, ptr %addresses, i64 1    ; the gradient stands second
  %grad = load ptr, ptr %at
  br label %wide
wide:
  %i = phi i64 [ %begin, %entry ], [ %i.next, %wide.body ]
  %sums = phi <{n} x double> [ zeroinitializer, %entry ], [ %sums.next, %wide.body ]
  %i.next = add i64 %i, {n}
  %full = icmp sle i64 %i.next, %end
  br i1 %full, label %wide.body, label %rest
wide.body:
  %w.at = getelementptr {kind}, ptr %grad, i64 %i
  %w.loaded = load <{n} x {kind}>, ptr %w.at, align {size}
{wide}
  %w.square = fmul <{n} x double> %w.value, %w.value
  %sums.next = fadd <{n} x double> %sums, %w.square
  br label %wide
rest:
  %wide.sum = call double @llvm.vector.reduce.fadd.v{n}f64(double -0.0, <{n} x double> %sums)
  br label %each
each:
  %j = phi i64 [ %i, %rest ], [ %j.next, %each.body ]
  %sum = phi double [ %wide.sum, %rest ], [ %sum.next, %each.body ]
  %j.next = add i64 %j, 1
  %some = icmp slt i64 %j, %end
  br i1 %some, label %each.body, label %done
each.body:
  %o.at = getelementptr {kind}, ptr %grad, i64 %j
  %o.loaded = load {kind}, ptr %o.at, align {size}
{one}
  %o.square = fmul double %o.value, %o.value
  %sum.next = fadd double %sum, %o.square
  br label %each
done:
  ret double %sum
}}
declare double @llvm.vector.reduce.fadd.v{n}f64(double, <{n} x double>)
"""

_WIDENED = {
    "bfloat": """  %{p}.long = zext {i16} %{p}.loaded to {i32}
  %{p}.bits = shl {i32} %{p}.long, {sixteen}
  %{p}.float = bitcast {i32} %{p}.bits to {float}
  %{p}.value = fpext {float} %{p}.float to {double}""",
    "half": "  %{p}.value = fpext {half} %{p}.loaded to {double}",
    "float": "  %{p}.value = fpext {float} %{p}.loaded to {double}",
    "double": "  %{p}.value = fadd {double} %{p}.loaded, {zero}",
}
"""How a loaded value becomes a double."""


@cache
def square(dtype: str) -> int:
    """The address of ``double square(ptr addresses, i64 begin, i64 end)`` for a gradient.

    ``dtype`` is LLVM's name of its element type (``bfloat``, ``half``, ``float``, ``double``) and
    ``addresses`` are those of a segment. Squares are summed in double precision and in an order
    that depends on ``begin`` and ``end`` alone; squares of float32 cannot overflow there.
    """
    scalar = {k: k for k in ("i16", "i32", "half", "float", "double")}
    vector = {k: f"<{_WIDTH} x {k}>" for k in scalar}
    sixteens = f"<{', '.join(['i32 16'] * _WIDTH)}>"
    zeros = f"<{', '.join(['double -0.0'] * _WIDTH)}>"
    template = _WIDENED[dtype]
    text = _TEXT.format(
        n=_WIDTH,
        kind="i16" if dtype == "bfloat" else dtype,
        size={"bfloat": 2, "half": 2, "float": 4, "double": 8}[dtype],
        wide=template.format(p="w", sixteen=sixteens, zero=zeros, **vector),
        one=template.format(p="o", sixteen="16", zero="-0.0", **scalar),
    )
    (address,) = jit().compile(text, "square")
    return address
