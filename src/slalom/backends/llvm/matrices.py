"""Products, transpositions and sums of matrices, in LLVM's assembly."""

from __future__ import annotations

from collections.abc import Iterator

from slalom.backends.llvm.pointwise import fields, splat

HEIGHTS = (6, 4, 2, 1)
"""Rows of a product that are computed together: as many as there are registers for, and what is
left over of these."""


def products(width: int, columns: int, multiply_add: str) -> Iterator[str]:
    """``@product(job)``, of tiles of up to so many vectors in a row: columns after columns, which
    stay in a cache while rows go by."""
    v = f"<{width} x float>"
    yield f"declare {v} @llvm.{multiply_add}.v{width}f32({v}, {v}, {v})"
    widths = [columns]
    while widths[-1] > 1:
        widths.append(widths[-1] // 2)
    shapes = [(several, False) for several in widths] + [(1, True)]
    for several, partly in shapes:
        for rows in HEIGHTS:
            yield from _tile(rows, several, width, multiply_add, partly=partly)
    yield from _product(shapes, width)


def _tile(rows: int, columns: int, width: int, multiply_add: str, *, partly: bool) -> Iterator[str]:
    """Some rows by some vectors of a product, the whole depth; ``partly``: fewer columns than a
    vector has numbers."""
    v, i1 = f"<{width} x float>", f"<{width} x i1>"
    grid = [(m, n) for m in range(rows) for n in range(columns)]

    def load(name: str, at: str) -> str:
        if not partly:
            return f"  {name} = load {v}, ptr {at}, align 4"
        masked = f"@llvm.masked.load.v{width}f32.p0"
        return f"  {name} = call {v} {masked}(ptr {at}, i32 4, {i1} %there, {v} zeroinitializer)"

    def store(name: str, at: str) -> str:
        if not partly:
            return f"  store {v} {name}, ptr {at}, align 4"
        masked = f"@llvm.masked.store.v{width}f32.p0"
        return f"  call void {masked}({v} {name}, ptr {at}, i32 4, {i1} %there)"

    yield f"""
define internal void @tile_{rows}_{_name(columns, partly)}(i64 %depth, ptr %left, i64 %am, i64 %ak,
    ptr %right, i64 %bk, ptr %into, i64 %cm, ptr %bias, i64 %bm, float %floor, ptr %positive,
    i64 %rest) #0 {{
entry:"""
    if partly:
        iota = ", ".join(f"i64 {i}" for i in range(width))
        yield from splat("%many", "%rest", width, "i64")
        yield f"  %there = icmp slt <{width} x i64> <{iota}>, %many"
    for m in range(rows):
        yield f"  %am{m} = mul i64 %am, {m}"
    yield """  br label %loop
loop:
  %k = phi i64 [0, %entry], [%k.next, %loop]
  %a = phi ptr [%left, %entry], [%a.next, %loop]
  %b = phi ptr [%right, %entry], [%b.next, %loop]"""
    for m, n in grid:
        yield f"  %c{m}.{n} = phi {v} [zeroinitializer, %entry], [%d{m}.{n}, %loop]"
    for n in range(columns):
        yield f"  %b{n}.p = getelementptr float, ptr %b, i64 {n * width}"
        yield load(f"%b{n}", f"%b{n}.p")
    for m in range(rows):
        yield f"  %a{m}.p = getelementptr float, ptr %a, i64 %am{m}"
        yield f"  %a{m}.x = load float, ptr %a{m}.p, align 4"
        yield from splat(f"%a{m}", f"%a{m}.x", width)
        for n in range(columns):
            given = f"{v} %a{m}, {v} %b{n}, {v} %c{m}.{n}"
            yield f"  %d{m}.{n} = call {v} @llvm.{multiply_add}.v{width}f32({given})"
    yield """  %k.next = add i64 %k, 1
  %a.next = getelementptr float, ptr %a, i64 %ak
  %b.next = getelementptr float, ptr %b, i64 %bk
  %more = icmp slt i64 %k.next, %depth
  br i1 %more, label %loop, label %done
done:"""
    yield from splat("%floors", "%floor", width)
    for m in range(rows):
        yield f"  %cm{m} = mul i64 %cm, {m}"
        yield f"  %bm{m} = mul i64 %bm, {m}"
        yield f"  %bias{m}.p = getelementptr float, ptr %bias, i64 %bm{m}"
        yield f"  %bias{m}.x = load float, ptr %bias{m}.p, align 4"
        yield from splat(f"%bias{m}", f"%bias{m}.x", width)
        for n in range(columns):
            at = f"{m}.{n}"
            yield f"  %f{at} = fadd {v} %d{at}, %bias{m}"
            yield f"  %low{at} = fcmp olt {v} %f{at}, %floors"
            yield f"  %g{at} = select {i1} %low{at}, {v} %floors, {v} %f{at}"
            yield f"  %o{at} = add i64 %cm{m}, {n * width}"
            yield f"  %p{at} = getelementptr float, ptr %into, i64 %o{at}"
    yield "  %hides = icmp ne ptr %positive, null"
    yield "  br i1 %hides, label %hidden, label %plain"
    yield "hidden:"
    for m, n in grid:
        at = f"{m}.{n}"
        yield f"  %q{at} = getelementptr float, ptr %positive, i64 %o{at}"
        yield load(f"%r{at}", f"%q{at}")
        yield f"  %not{at} = fcmp ole {v} %r{at}, zeroinitializer"
        yield f"  %h{at} = select {i1} %not{at}, {v} zeroinitializer, {v} %g{at}"
        yield store(f"%h{at}", f"%p{at}")
    yield "  ret void"
    yield "plain:"
    for m, n in grid:
        yield store(f"%g{m}.{n}", f"%p{m}.{n}")
    yield "  ret void\n}"


def _name(columns: int, partly: bool) -> str:
    return f"{columns}{'p' * partly}"


def _product(shapes: list[tuple[int, bool]], width: int) -> Iterator[str]:
    """All tiles of a product: of each shape as many as there is room for, then of the next."""
    yield "define internal void @product(ptr %job) #0 {"
    yield "entry:"
    yield from fields(
        "i64 %rows", "i64 %columns", "i64 %depth", "ptr %left", "i64 %am", "i64 %ak", "ptr %right",
        "i64 %bk", "ptr %into", "i64 %cm", "ptr %bias", "i64 %bm", "float %floor", "ptr %positive",
    )  # fmt: skip
    yield "  %hides = icmp ne ptr %positive, null"
    yield "  br label %w0"
    before, n_before = "entry", "0"
    for place, (several, partly) in enumerate(shapes):
        own, n, size = f"w{place}", f"%n{place}", 1 if partly else several * width
        back = "" if partly else f", [{n}.next, %{own}.end]"
        yield f"""{own}:
  {n} = phi i64 [{n_before}, %{before}]{back}
  {n}.rest = sub i64 %columns, {n}
  {n}.fits = icmp sge i64 {n}.rest, {size}
  br i1 {n}.fits, label %{own}.begin, label %w{place + 1}
{own}.begin:
  {n}.right = getelementptr float, ptr %right, i64 {n}
  {n}.into = getelementptr float, ptr %into, i64 {n}
  {n}.positive = getelementptr float, ptr %positive, i64 {n}
  br label %{own}.h0"""
        inner, m_before = f"{own}.begin", "0"
        for h, rows in enumerate(HEIGHTS):
            here, m = f"{own}.h{h}", f"%m{place}.{h}"
            after = f"{own}.h{h + 1}" if h + 1 < len(HEIGHTS) else f"{own}.end"
            yield f"""{here}:
  {m} = phi i64 [{m_before}, %{inner}], [{m}.next, %{here}.tile]
  {m}.rest = sub i64 %rows, {m}
  {m}.fits = icmp sge i64 {m}.rest, {rows}
  br i1 {m}.fits, label %{here}.tile, label %{after}
{here}.tile:
  {m}.a = mul i64 {m}, %am
  {m}.b = mul i64 {m}, %bm
  {m}.c = mul i64 {m}, %cm
  {m}.left = getelementptr float, ptr %left, i64 {m}.a
  {m}.bias = getelementptr float, ptr %bias, i64 {m}.b
  {m}.into = getelementptr float, ptr {n}.into, i64 {m}.c
  {m}.p = getelementptr float, ptr {n}.positive, i64 {m}.c
  {m}.positive = select i1 %hides, ptr {m}.p, ptr null
  call void @tile_{rows}_{_name(several, partly)}(i64 %depth, ptr {m}.left, i64 %am, i64 %ak,
    ptr {n}.right, i64 %bk, ptr {m}.into, i64 %cm, ptr {m}.bias, i64 %bm, float %floor,
    ptr {m}.positive, i64 {n}.rest)
  {m}.next = add i64 {m}, {rows}
  br label %{here}"""
            inner, m_before = here, m
        yield f"{own}.end:"
        if partly:
            yield f"  br label %w{place + 1}"
        else:
            yield f"  {n}.next = add i64 {n}, {size}"
            yield f"  br label %{own}"
        before, n_before = own, n
    yield f"w{len(shapes)}:\n  ret void\n}}"


def transpositions(width: int) -> Iterator[str]:
    """``@transpose(job)``: squares of the size of a vector in registers, the rest one by one."""
    v = f"<{width} x float>"
    yield "define internal void @transpose(ptr %job) #0 {"
    yield "entry:"
    yield from fields("i64 %rows", "i64 %columns", "ptr %from", "i64 %fm", "ptr %into", "i64 %tm")
    yield f"""  %rows.whole = and i64 %rows, {-width}
  %columns.whole = and i64 %columns, {-width}
  br label %r
r:
  %i = phi i64 [0, %entry], [%i.next, %c.end]
  %i.more = icmp slt i64 %i, %rows.whole
  br i1 %i.more, label %c, label %rest
c:
  %j = phi i64 [0, %r], [%j.next, %block]
  %j.more = icmp slt i64 %j, %columns.whole
  br i1 %j.more, label %block, label %c.end
block:"""
    held = [f"%s{n}" for n in range(width)]
    for n in range(width):
        yield f"  %i{n} = add i64 %i, {n}"
        yield f"  %f{n} = mul i64 %i{n}, %fm"
        yield f"  %g{n} = add i64 %f{n}, %j"
        yield f"  %s{n}.p = getelementptr float, ptr %from, i64 %g{n}"
        yield f"  %s{n} = load {v}, ptr %s{n}.p, align 4"
    distance = 1
    while distance < width:  # exchange what lies so far from the diagonal
        fresh = list(held)
        for n in (n for n in range(width) if not n & distance):
            far = [j & distance for j in range(width)]
            low = [width + j - distance if far[j] else j for j in range(width)]
            high = [width + j if far[j] else j + distance for j in range(width)]
            for place, chosen in ((n, low), (n + distance, high)):
                mask = ", ".join(f"i32 {c}" for c in chosen)
                pair = f"{v} {held[n]}, {v} {held[n + distance]}"
                fresh[place] = f"%t{distance}.{place}"
                yield f"  {fresh[place]} = shufflevector {pair}, <{width} x i32> <{mask}>"
        held, distance = fresh, distance * 2
    for n in range(width):
        yield f"  %j{n} = add i64 %j, {n}"
        yield f"  %u{n} = mul i64 %j{n}, %tm"
        yield f"  %w{n} = add i64 %u{n}, %i"
        yield f"  %d{n}.p = getelementptr float, ptr %into, i64 %w{n}"
        yield f"  store {v} {held[n]}, ptr %d{n}.p, align 4"
    yield f"""  %j.next = add i64 %j, {width}
  br label %c
c.end:
  %i.next = add i64 %i, {width}
  br label %r
rest:
  call void @one_by_one(ptr %from, i64 %fm, ptr %into, i64 %tm, i64 0, i64 %rows.whole,
    i64 %columns.whole, i64 %columns)
  call void @one_by_one(ptr %from, i64 %fm, ptr %into, i64 %tm, i64 %rows.whole, i64 %rows,
    i64 0, i64 %columns)
  ret void
}}
define internal void @one_by_one(ptr %from, i64 %fm, ptr %into, i64 %tm, i64 %first, i64 %rows,
    i64 %begin, i64 %columns) #0 {{
entry:
  br label %r
r:
  %i = phi i64 [%first, %entry], [%i.next, %c.end]
  %i.more = icmp slt i64 %i, %rows
  br i1 %i.more, label %c, label %end
c:
  %j = phi i64 [%begin, %r], [%j.next, %one]
  %j.more = icmp slt i64 %j, %columns
  br i1 %j.more, label %one, label %c.end
one:
  %f = mul i64 %i, %fm
  %g = add i64 %f, %j
  %s.p = getelementptr float, ptr %from, i64 %g
  %s = load float, ptr %s.p, align 4
  %u = mul i64 %j, %tm
  %w = add i64 %u, %i
  %d.p = getelementptr float, ptr %into, i64 %w
  store float %s, ptr %d.p, align 4
  %j.next = add i64 %j, 1
  br label %c
c.end:
  %i.next = add i64 %i, 1
  br label %r
end:
  ret void
}}"""


def sums(width: int) -> Iterator[str]:
    """``@row_sums(job)``: a vector of sums goes along each row."""
    v = f"<{width} x float>"
    yield "define internal void @row_sums(ptr %job) #0 {"
    yield "entry:"
    yield from fields("i64 %rows", "i64 %columns", "ptr %from", "i64 %fm", "ptr %into")
    yield f"""  %whole = and i64 %columns, {-width}
  br label %r
r:
  %i = phi i64 [0, %entry], [%i.next, %r.end]
  %i.more = icmp slt i64 %i, %rows
  br i1 %i.more, label %begin, label %end
begin:
  %f = mul i64 %i, %fm
  %row = getelementptr float, ptr %from, i64 %f
  br label %c
c:
  %j = phi i64 [0, %begin], [%j.next, %block]
  %sum = phi {v} [zeroinitializer, %begin], [%sum.next, %block]
  %j.more = icmp slt i64 %j, %whole
  br i1 %j.more, label %block, label %join
block:
  %b.p = getelementptr float, ptr %row, i64 %j
  %b = load {v}, ptr %b.p, align 4
  %sum.next = fadd {v} %sum, %b
  %j.next = add i64 %j, {width}
  br label %c
join:
  %joined = call reassoc float @llvm.vector.reduce.fadd.v{width}f32(float 0.0, {v} %sum)
  br label %t
t:
  %l = phi i64 [%whole, %join], [%l.next, %one]
  %all = phi float [%joined, %join], [%all.next, %one]
  %l.more = icmp slt i64 %l, %columns
  br i1 %l.more, label %one, label %r.end
one:
  %o.p = getelementptr float, ptr %row, i64 %l
  %o = load float, ptr %o.p, align 4
  %all.next = fadd float %all, %o
  %l.next = add i64 %l, 1
  br label %t
r.end:
  %d.p = getelementptr float, ptr %into, i64 %i
  store float %all, ptr %d.p, align 4
  %i.next = add i64 %i, 1
  br label %r
end:
  ret void
}}"""
