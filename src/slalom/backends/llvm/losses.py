"""Losses of what lies feature after feature, and their gradients, in LLVM's assembly."""

from __future__ import annotations

from collections.abc import Iterator

from slalom.backends.llvm.functions import ERRORS, Text
from slalom.backends.llvm.pointwise import Vectors, fields, load, splat, store, sweep


def _there(width: int) -> Iterator[str]:
    """``%there``: which of the samples from ``%j`` on there are."""
    of = Vectors(width)
    yield from splat("%js", "%j", width, "i64")
    yield f"  %place = add {of.long} %js, {of.places}"
    yield f"  %there = icmp slt {of.long} %place, %last"


def cross_entropy(width: int) -> Iterator[str]:
    """Of outputs (classes, samples) and classes int64 (samples,): ``@cross_entropy(job)``.

    Of a sample of class t, with weights w of the classes and the logarithms l of their shares, it
    is -``kept`` w_t l_t - ``spread`` (the sum of w l over all classes).
    """
    of = Vectors(width)
    v, i1, long, one = of.v, of.i1, of.long, of.of(1.0)
    yield "define internal void @cross_entropy(ptr %job) #0 {"
    yield "entry:"
    yield from fields(
        "i64 %samples", "i64 %classes", "ptr %outputs", "i64 %stride", "ptr %targets",
        "ptr %into", "float %share.given", "ptr %told", "i64 %taught", "ptr %weights",
        "float %kept", "float %spread", "float %whole", "i64 %ignored", "i64 %mean",
    )  # fmt: skip
    yield from splat("%last", "%samples", width, "i64")
    yield from splat("%passed", "%ignored", width, "i64")
    for name in ("kept", "spread", "whole"):
        yield from splat(f"%{name}.v", f"%{name}", width)
    yield f"""  %teaches = icmp ne i64 %taught, 0
  %smooths = fcmp une float %spread, 0.0
  %all.v = fmul {v} %spread.v, %whole.v
  br label %weigh
weigh:
  %s = phi i64 [0, %entry], [%s.next, %weighed]
  %total = phi float [0.0, %entry], [%total.next, %weighed]
  %s.more = icmp slt i64 %s, %samples
  br i1 %s.more, label %look, label %ready
look:
  %s.p = getelementptr i64, ptr %targets, i64 %s
  %s.t = load i64, ptr %s.p, align 8
  %s.class = icmp ult i64 %s.t, %classes
  %s.counts = icmp ne i64 %s.t, %ignored
  %s.both = and i1 %s.class, %s.counts
  br i1 %s.both, label %count, label %weighed
count:
  %s.w.p = getelementptr float, ptr %weights, i64 %s.t
  %s.w = load float, ptr %s.w.p, align 4
  %more = fadd float %total, %s.w
  br label %weighed
weighed:
  %total.next = phi float [%total, %look], [%more, %count]
  %s.next = add i64 %s, 1
  br label %weigh
ready:
  %averages = icmp ne i64 %mean, 0
  %averaged = fdiv float %share.given, %total
  %share = select i1 %averages, float %averaged, float %share.given"""
    yield from splat("%shares", "%share", width)
    yield f"""  br label %next
next:
  %j = phi i64 [0, %ready], [%j.next, %next.end]
  %loss = phi {v} [zeroinitializer, %ready], [%loss.next, %next.end]
  %hits = phi {v} [zeroinitializer, %ready], [%hits.next, %next.end]
  %right = phi {v} [zeroinitializer, %ready], [%right.next, %next.end]
  %skipped = phi {v} [zeroinitializer, %ready], [%skipped.next, %next.end]
  %j.more = icmp slt i64 %j, %samples
  br i1 %j.more, label %begin, label %end
begin:"""
    yield from _there(width)
    yield f"""  %t.p = getelementptr i64, ptr %targets, i64 %j
  %t.all = call {long} @llvm.masked.load.v{width}i64.p0(
      ptr %t.p, i32 8, {i1} %there, {long} {of.none})
  %passes.all = icmp eq {long} %t.all, %passed
  %passes = and {i1} %passes.all, %there
  %t = select {i1} %passes, {long} {of.none}, {long} %t.all
  %z = getelementptr float, ptr %outputs, i64 %j
  %g = getelementptr float, ptr %into, i64 %j
{_highest(width)}
summing:
  %d = phi i64 [0, %highest], [%d.next, %add]
  %sum = phi {v} [zeroinitializer, %highest], [%sum.next, %add]
  %own = phi {v} [zeroinitializer, %highest], [%own.next, %add]
  %weight = phi {v} [zeroinitializer, %highest], [%weight.next, %add]
  %smooth = phi {v} [zeroinitializer, %highest], [%smooth.next, %add]
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
  %sum.next = fadd {v} %sum, %e
  %d.w.p = getelementptr float, ptr %weights, i64 %d
  %d.w.x = load float, ptr %d.w.p, align 4"""
    yield from splat("%d.w", "%d.w.x", width)
    yield from splat("%ds", "%d", width, "i64")
    # of equal outputs the first one is the class that is told
    yield f"""  %part = fmul {v} %below, %d.w
  %smooth.more = fadd {v} %smooth, %part
  %smooth.next = select i1 %smooths, {v} %smooth.more, {v} zeroinitializer
  %hit = icmp eq {long} %t, %ds
  %own.next = select {i1} %hit, {v} %below, {v} %own
  %weight.next = select {i1} %hit, {v} %d.w, {v} %weight
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
  %weight.kept = fmul {v} %weight, %kept.v
  %weight.all = fadd {v} %weight.kept, %all.v
  %counts = fcmp one {v} %found, zeroinitializer
  %factor = select {i1} %counts, {v} %weight.all, {v} zeroinitializer
  %spread.own = select {i1} %counts, {v} %spread.v, {v} zeroinitializer
  %each.log = fmul {v} %factor, %log
  %each.own = fmul {v} %weight.kept, %own
  %each.smooth = fmul {v} %spread.v, %smooth
  %each.less = fsub {v} %each.log, %each.own
  %each = fsub {v} %each.less, %each.smooth
  %counted = select {i1} %counts, {v} %each, {v} zeroinitializer
  %loss.next = fadd {v} %loss, %counted
  %hits.next = fadd {v} %hits, %found
  %right.next = fadd {v} %right, %sure
  %skip = select {i1} %passes, {v} {one}, {v} zeroinitializer
  %skipped.next = fadd {v} %skipped, %skip
  %scale.most = fmul {v} %factor, %shares
  %scale = fdiv {v} %scale.most, %sum
  %less.own = fmul {v} %weight.kept, %shares
  %less.all = fmul {v} %spread.own, %shares
  br i1 %teaches, label %teach, label %next.end
teach:
  %k = phi i64 [0, %summed], [%k.next, %set]
  %k.more = icmp slt i64 %k, %classes
  br i1 %k.more, label %set, label %next.end
set:
  %k.at = mul i64 %k, %stride
  %k.g = getelementptr float, ptr %g, i64 %k.at
  %k.e = load {v}, ptr %k.g, align 4
  %k.s = fmul {v} %k.e, %scale
  %k.w.p = getelementptr float, ptr %weights, i64 %k
  %k.w.x = load float, ptr %k.w.p, align 4"""
    yield from splat("%k.w", "%k.w.x", width)
    yield from splat("%ks", "%k", width, "i64")
    yield f"""  %k.hit = icmp eq {long} %t, %ks
  %k.less = select {i1} %k.hit, {v} %less.own, {v} zeroinitializer
  %k.own = fsub {v} %k.s, %k.less
  %k.even = fmul {v} %less.all, %k.w
  %k.d = fsub {v} %k.own, %k.even
  store {v} %k.d, ptr %k.g, align 4
  %k.next = add i64 %k, 1
  br label %teach
next.end:
  %j.next = add i64 %j, {width}
  br label %next
end:
  %told.weights = getelementptr float, ptr %told, i64 4
  store float %total, ptr %told.weights, align 4"""
    yield from _told(width, "loss", "hits", "right", "skipped")


def _highest(width: int) -> str:
    """The highest of all classes' outputs, ``%max``, from ``%begin`` on to ``%summing``."""
    of = Vectors(width)
    return f"""  %first = load {of.v}, ptr %z, align 4
  br label %highest
highest:
  %c = phi i64 [1, %begin], [%c.next, %higher]
  %max = phi {of.v} [%first, %begin], [%max.next, %higher]
  %c.more = icmp slt i64 %c, %classes
  br i1 %c.more, label %higher, label %summing
higher:
  %c.at = mul i64 %c, %stride
  %c.p = getelementptr float, ptr %z, i64 %c.at
  %c.z = load {of.v}, ptr %c.p, align 4
  %c.above = fcmp ogt {of.v} %c.z, %max
  %max.next = select {of.i1} %c.above, {of.v} %c.z, {of.v} %max
  %c.next = add i64 %c, 1
  br label %highest"""


def log_softmax(width: int) -> Iterator[str]:
    """Logarithms of the shares of classes, of and over outputs (classes, samples):
    ``@log_softmax(job)``."""
    of = Vectors(width)
    v = of.v
    yield "define internal void @log_softmax(ptr %job) #0 {"
    yield "entry:"
    yield from fields("i64 %classes", "i64 %samples", "ptr %outputs", "i64 %stride")
    yield f"""  br label %next
next:
  %j = phi i64 [0, %entry], [%j.next, %next.end]
  %j.more = icmp slt i64 %j, %samples
  br i1 %j.more, label %begin, label %end
begin:
  %z = getelementptr float, ptr %outputs, i64 %j
{_highest(width)}
summing:
  %d = phi i64 [0, %highest], [%d.next, %add]
  %sum = phi {v} [zeroinitializer, %highest], [%sum.next, %add]
  %d.more = icmp slt i64 %d, %classes
  br i1 %d.more, label %add, label %summed
add:
  %d.at = mul i64 %d, %stride
  %d.p = getelementptr float, ptr %z, i64 %d.at
  %d.z = load {v}, ptr %d.p, align 4
  %below = fsub {v} %d.z, %max
  %e = call {v} @exp({v} %below)
  %sum.next = fadd {v} %sum, %e
  %d.next = add i64 %d, 1
  br label %summing
summed:
  %log = call {v} @log({v} %sum)
  br label %setting
setting:
  %k = phi i64 [0, %summed], [%k.next, %set]
  %k.more = icmp slt i64 %k, %classes
  br i1 %k.more, label %set, label %next.end
set:
  %k.at = mul i64 %k, %stride
  %k.p = getelementptr float, ptr %z, i64 %k.at
  %k.z = load {v}, ptr %k.p, align 4
  %k.below = fsub {v} %k.z, %max
  %k.y = fsub {v} %k.below, %log
  store {v} %k.y, ptr %k.p, align 4
  %k.next = add i64 %k, 1
  br label %setting
next.end:
  %j.next = add i64 %j, {width}
  br label %next
end:
  ret void
}}"""


def elementwise(width: int) -> Iterator[str]:
    """Of outputs and targets (features, samples): ``@squared_error(job)`` and its like."""
    of = Vectors(width)
    v, i1 = of.v, of.i1
    for name, formula in ERRORS.items():
        text = Text(width)
        value, slope = formula(*map(text.value, ("%z", "%t", "%a.v", "%b.v")))
        middle = len(text.lines)
        steep = (slope() * text.value("%share.v")).name
        body = [
            *_there(width), *load("%z", "%outputs", width),
            "  %t.p = getelementptr float, ptr %targets, i64 %o",
            f"  %t = call {v} @llvm.masked.load.v{width}f32.p0"
            f"(ptr %t.p, i32 4, {i1} %there, {v} zeroinitializer)",
            *text.lines[:middle],
            f"  %counted = select {i1} %there, {v} {value.name}, {v} zeroinitializer",
            f"  %sum.next = fadd {v} %sum, %counted",
            "  %teaches = icmp ne i64 %taught, 0",
            "  br i1 %teaches, label %teach, label %after\nteach:",
            *text.lines[middle:], *store(steep, "%into", width),
            "  br label %after\nafter:",
        ]  # fmt: skip
        given = (
            "i64 %columns", "i64 %rows", "ptr %outputs", "i64 %stride", "ptr %targets",
            "ptr %into", "float %share", "ptr %told", "i64 %taught", "float %a", "float %b",
        )  # fmt: skip
        yield from text.declares
        yield from sweep(name, width, given, iter(body), sums=True)
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
