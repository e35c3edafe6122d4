"""Losses of what lies feature after feature, and their gradients, in LLVM's assembly."""

from __future__ import annotations

from collections.abc import Iterator

from slalom.backends.llvm.pointwise import Vectors, fields, splat


def _there(width: int) -> Iterator[str]:
    """``%there``: which of the samples from ``%j`` on there are."""
    of = Vectors(width)
    yield from splat("%js", "%j", width, "i64")
    yield f"  %place = add {of.long} %js, {of.places}"
    yield f"  %there = icmp slt {of.long} %place, %last"


def cross_entropy(width: int) -> Iterator[str]:
    """Of outputs (classes, samples) and classes int64 (samples,): ``@cross_entropy(job)``."""
    of = Vectors(width)
    v, i1, long, one = of.v, of.i1, of.long, of.of(1.0)
    yield "define internal void @cross_entropy(ptr %job) #0 {"
    yield "entry:"
    yield from fields(
        "i64 %samples", "i64 %classes", "ptr %outputs", "i64 %stride", "ptr %targets",
        "ptr %into", "float %share", "ptr %told", "i64 %taught",
    )  # fmt: skip
    yield from splat("%shares", "%share", width)
    yield from splat("%last", "%samples", width, "i64")
    yield f"""  %teaches = icmp ne i64 %taught, 0
  br label %next
next:
  %j = phi i64 [0, %entry], [%j.next, %next.end]
  %loss = phi {v} [zeroinitializer, %entry], [%loss.next, %next.end]
  %hits = phi {v} [zeroinitializer, %entry], [%hits.next, %next.end]
  %right = phi {v} [zeroinitializer, %entry], [%right.next, %next.end]
  %j.more = icmp slt i64 %j, %samples
  br i1 %j.more, label %begin, label %end
begin:"""
    yield from _there(width)
    yield f"""  %t.p = getelementptr i64, ptr %targets, i64 %j
  %t = call {long} @llvm.masked.load.v{width}i64.p0(ptr %t.p, i32 8, {i1} %there, {long} {of.none})
  %z = getelementptr float, ptr %outputs, i64 %j
  %g = getelementptr float, ptr %into, i64 %j
  %first = load {v}, ptr %z, align 4
  br label %highest
highest:
  %c = phi i64 [1, %begin], [%c.next, %higher]
  %max = phi {v} [%first, %begin], [%max.next, %higher]
  %c.more = icmp slt i64 %c, %classes
  br i1 %c.more, label %higher, label %summing
higher:
  %c.at = mul i64 %c, %stride
  %c.p = getelementptr float, ptr %z, i64 %c.at
  %c.z = load {v}, ptr %c.p, align 4
  %c.above = fcmp ogt {v} %c.z, %max
  %max.next = select {i1} %c.above, {v} %c.z, {v} %max
  %c.next = add i64 %c, 1
  br label %highest
summing:
  %d = phi i64 [0, %highest], [%d.next, %add]
  %sum = phi {v} [zeroinitializer, %highest], [%sum.next, %add]
  %own = phi {v} [zeroinitializer, %highest], [%own.next, %add]
  %found = phi {v} [zeroinitializer, %highest], [%found.next, %add]
  %sure = phi {v} [zeroinitializer, %highest], [%sure.next, %add]
  %open = phi {i1} [{of.true}, %highest], [%open.next, %add]
  %d.more = icmp slt i64 %d, %classes
  br i1 %d.more, label %add, label %summed
add:
  %d.at = mul i64 %d, %stride
  %d.p = getelementptr float, ptr %z, i64 %d.at
  %d.z = load {v}, ptr %d.p, align 4
  %below = fsub {v} %d.z, %max
  %e = call {v} @exp({v} %below)
  %d.g = getelementptr float, ptr %g, i64 %d.at
  store {v} %e, ptr %d.g, align 4
  %sum.next = fadd {v} %sum, %e"""
    yield from splat("%ds", "%d", width, "i64")
    # of equal outputs the first one is the class that is told
    yield f"""  %hit = icmp eq {long} %t, %ds
  %own.next = select {i1} %hit, {v} %below, {v} %own
  %found.next = select {i1} %hit, {v} {one}, {v} %found
  %top = fcmp oeq {v} %below, zeroinitializer
  %not.top = xor {i1} %top, {of.true}
  %chosen = and {i1} %top, %open
  %open.next = and {i1} %open, %not.top
  %both = and {i1} %chosen, %hit
  %sure.next = select {i1} %both, {v} {one}, {v} %sure
  %d.next = add i64 %d, 1
  br label %summing
summed:
  %log = call {v} @log({v} %sum)
  %each = fsub {v} %log, %own
  %counted = select {i1} %there, {v} %each, {v} zeroinitializer
  %loss.next = fadd {v} %loss, %counted
  %hits.next = fadd {v} %hits, %found
  %right.next = fadd {v} %right, %sure
  %scale = fdiv {v} %shares, %sum
  br i1 %teaches, label %teach, label %next.end
teach:
  %k = phi i64 [0, %summed], [%k.next, %set]
  %k.more = icmp slt i64 %k, %classes
  br i1 %k.more, label %set, label %next.end
set:
  %k.at = mul i64 %k, %stride
  %k.g = getelementptr float, ptr %g, i64 %k.at
  %k.e = load {v}, ptr %k.g, align 4
  %k.s = fmul {v} %k.e, %scale"""
    yield from splat("%ks", "%k", width, "i64")
    yield f"""  %k.hit = icmp eq {long} %t, %ks
  %k.less = select {i1} %k.hit, {v} %shares, {v} zeroinitializer
  %k.d = fsub {v} %k.s, %k.less
  store {v} %k.d, ptr %k.g, align 4
  %k.next = add i64 %k, 1
  br label %teach
next.end:
  %j.next = add i64 %j, {width}
  br label %next
end:"""
    yield from _told(width, "loss", "hits", "right")


def elementwise(width: int) -> Iterator[str]:
    """Of outputs and targets (features, samples): ``@squared_error(job)`` and
    ``@binary_entropy(job)``, the latter max(z, 0) - z t + log(1 + exp(-|z|))."""
    of = Vectors(width)
    v, i1, one = of.v, of.i1, of.of(1.0)
    squared = f"""  %away = fsub {v} %z, %t
  %each = fmul {v} %away, %away
  %slope = fadd {v} %away, %away"""
    # 1 + u loses digits of a small u: log(1 + u) is log(w) u / (w - 1) of the w that is left
    binary = f"""  %above = fcmp ogt {v} %z, zeroinitializer
  %minus = fneg {v} %z
  %below = select {i1} %above, {v} %minus, {v} %z
  %u = call {v} @exp({v} %below)
  %w = fadd {v} {one}, %u
  %w.log = call {v} @log({v} %w)
  %left = fsub {v} %w, {one}
  %ratio = fdiv {v} %u, %left
  %exact = fmul {v} %w.log, %ratio
  %tiny = fcmp oeq {v} %left, zeroinitializer
  %soft = select {i1} %tiny, {v} %u, {v} %exact
  %under = fcmp olt {v} %z, zeroinitializer
  %hinge = select {i1} %under, {v} zeroinitializer, {v} %z
  %zt = fmul {v} %z, %t
  %bare = fsub {v} %hinge, %zt
  %each = fadd {v} %bare, %soft
  %most = select {i1} %above, {v} {one}, {v} %u
  %sigmoid = fdiv {v} %most, %w
  %slope = fsub {v} %sigmoid, %t"""
    for name, body in (("squared_error", squared), ("binary_entropy", binary)):
        yield f"define internal void @{name}(ptr %job) #0 {{"
        yield "entry:"
        yield from fields(
            "i64 %samples", "i64 %features", "ptr %outputs", "i64 %stride", "ptr %targets",
            "ptr %into", "float %share", "ptr %told",
        )  # fmt: skip
        yield from splat("%shares", "%share", width)
        yield from splat("%last", "%samples", width, "i64")
        yield f"""  br label %row
row:
  %f = phi i64 [0, %entry], [%f.next, %row.end]
  %loss = phi {v} [zeroinitializer, %entry], [%sum, %row.end]
  %f.more = icmp slt i64 %f, %features
  br i1 %f.more, label %begin, label %end
begin:
  %at = mul i64 %f, %stride
  br label %next
next:
  %j = phi i64 [0, %begin], [%j.next, %one]
  %sum = phi {v} [%loss, %begin], [%sum.next, %one]
  %j.more = icmp slt i64 %j, %samples
  br i1 %j.more, label %one, label %row.end
one:"""
        yield from _there(width)
        masked = f"@llvm.masked.load.v{width}f32.p0"
        yield f"""  %o = add i64 %at, %j
  %z.p = getelementptr float, ptr %outputs, i64 %o
  %z = load {v}, ptr %z.p, align 4
  %t.p = getelementptr float, ptr %targets, i64 %o
  %t = call {v} {masked}(ptr %t.p, i32 4, {i1} %there, {v} zeroinitializer)
{body}
  %counted = select {i1} %there, {v} %each, {v} zeroinitializer
  %sum.next = fadd {v} %sum, %counted
  %d = fmul {v} %slope, %shares
  %d.p = getelementptr float, ptr %into, i64 %o
  store {v} %d, ptr %d.p, align 4
  %j.next = add i64 %j, {width}
  br label %next
row.end:
  %f.next = add i64 %f, 1
  br label %row
end:"""
        yield from _told(width, "loss")


def _told(width: int, *sums: str) -> Iterator[str]:
    """Writes sums of vectors, one after the other, and ends a function."""
    v = f"<{width} x float>"
    for place, name in enumerate(sums):
        joined = f"reassoc float @llvm.vector.reduce.fadd.v{width}f32(float 0.0, {v} %{name})"
        yield f"  %sum{place} = call {joined}"
        yield f"  %told{place} = getelementptr float, ptr %told, i64 {place}"
        yield f"  store float %sum{place}, ptr %told{place}, align 4"
    yield "  ret void\n}"
