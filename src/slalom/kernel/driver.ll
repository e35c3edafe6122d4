; The driver of a step, the same for every rule. slalom/kernel/driver.py declares the structures
; and says what their fields are; the functions called through %functions are torch's own, listed
; in slalom/kernel/torch_c.py in this order.

%Check = type { ptr, i64, ptr, i64, i64, ptr, ptr, ptr }
%Segment = type { ptr, ptr, ptr, i64, i64, ptr }
%Table = type { ptr, ptr, i64, ptr, ptr, i64, i64, i64, ptr }

; Read the address of every tensor into table.arrays. Returns 0, or 1 + the index of the first
; tensor that is not what its check says, in which case nothing must be run.
define i64 @gather(ptr %table) nounwind {
entry:
  %flag = alloca i8
  %word = alloca i32
  %long = alloca i64
  %pointer = alloca ptr
  %functions = load ptr, ptr %table
  %is_defined.slot = getelementptr ptr, ptr %functions, i64 1
  %is_defined.fn = load ptr, ptr %is_defined.slot
  %layout.slot = getelementptr ptr, ptr %functions, i64 2
  %layout.fn = load ptr, ptr %layout.slot
  %device.slot = getelementptr ptr, ptr %functions, i64 3
  %device.fn = load ptr, ptr %device.slot
  %dtype.slot = getelementptr ptr, ptr %functions, i64 4
  %dtype.fn = load ptr, ptr %dtype.slot
  %dim.slot = getelementptr ptr, ptr %functions, i64 5
  %dim.fn = load ptr, ptr %dim.slot
  %sizes.slot = getelementptr ptr, ptr %functions, i64 6
  %sizes.fn = load ptr, ptr %sizes.slot
  %strides.slot = getelementptr ptr, ptr %functions, i64 7
  %strides.fn = load ptr, ptr %strides.slot
  %data.slot = getelementptr ptr, ptr %functions, i64 8
  %data.fn = load ptr, ptr %data.slot
  %neg.slot = getelementptr ptr, ptr %functions, i64 9
  %neg.fn = load ptr, ptr %neg.slot
  %bump.slot = getelementptr ptr, ptr %functions, i64 10
  %bump.fn = load ptr, ptr %bump.slot
  %grad.slot = getelementptr ptr, ptr %functions, i64 11
  %grad.fn = load ptr, ptr %grad.slot
  %conj.slot = getelementptr ptr, ptr %functions, i64 12
  %conj.fn = load ptr, ptr %conj.slot
  %checks.at = getelementptr %Table, ptr %table, i64 0, i32 1
  %checks = load ptr, ptr %checks.at
  %n.at = getelementptr %Table, ptr %table, i64 0, i32 2
  %n = load i64, ptr %n.at
  %arrays.at = getelementptr %Table, ptr %table, i64 0, i32 3
  %arrays = load ptr, ptr %arrays.at
  br label %each
each:
  %i = phi i64 [ 0, %entry ], [ %i.next, %next ]
  %i.next = add i64 %i, 1
  %some = icmp slt i64 %i, %n
  br i1 %some, label %look, label %good
look:
  %check = getelementptr %Check, ptr %checks, i64 %i
  %kind.at = getelementptr %Check, ptr %check, i64 0, i32 1
  %kind = load i64, ptr %kind.at
  %impl = load ptr, ptr %check
  %holder.at = getelementptr %Check, ptr %check, i64 0, i32 2
  %holder = load ptr, ptr %holder.at
  %unheld = icmp eq ptr %holder, null
  br i1 %unheld, label %held, label %hold
hold:                                ; swap_tensors gives an object another tensor
  %held.impl = load ptr, ptr %holder
  %held.ok = icmp eq ptr %held.impl, %impl
  br i1 %held.ok, label %held, label %bad
held:
  %state = icmp eq i64 %kind, 0
  br i1 %state, label %known, label %route
known:                               ; a state whose elements are where they were is what it was
  %known.code = call i32 %data.fn(ptr %check, ptr %pointer)
  %known.address = load ptr, ptr %pointer
  %known.at = getelementptr %Check, ptr %check, i64 0, i32 7
  %known.want = load ptr, ptr %known.at
  %known.same = icmp eq ptr %known.address, %known.want
  %known.slot = getelementptr ptr, ptr %arrays, i64 %i
  store ptr %known.address, ptr %known.slot
  br i1 %known.same, label %next, label %bad
route:
  %via = icmp sge i64 %kind, 3
  br i1 %via, label %through, label %defined
through:
  %grad = call ptr %grad.fn(ptr %impl)
  br label %defined
defined:
  %tensor = phi ptr [ %check, %route ], [ %grad, %through ]
  call i32 %is_defined.fn(ptr %tensor, ptr %flag)
  %defined.byte = load i8, ptr %flag
  %is_defined = icmp ne i8 %defined.byte, 0
  %absent = icmp eq i64 %kind, 4
  %wrong = icmp eq i1 %is_defined, %absent
  br i1 %wrong, label %bad, label %expected
expected:
  br i1 %absent, label %next, label %layout
layout:
  call i32 %layout.fn(ptr %tensor, ptr %word)
  %layout.code = load i32, ptr %word
  %layout.ok = icmp eq i32 %layout.code, 0
  br i1 %layout.ok, label %device, label %bad
device:
  call i32 %device.fn(ptr %tensor, ptr %word)
  %device.code = load i32, ptr %word
  %device.ok = icmp eq i32 %device.code, 0
  br i1 %device.ok, label %dtype, label %bad
dtype:
  call i32 %dtype.fn(ptr %tensor, ptr %word)
  %dtype.code = load i32, ptr %word
  %dtype.long = sext i32 %dtype.code to i64
  %dtype.at = getelementptr %Check, ptr %check, i64 0, i32 3
  %dtype.want = load i64, ptr %dtype.at
  %dtype.ok = icmp eq i64 %dtype.long, %dtype.want
  br i1 %dtype.ok, label %lazy, label %bad
lazy:
  %neg = call zeroext i1 %neg.fn(ptr %tensor)
  br i1 %neg, label %bad, label %conjugate
conjugate:
  %conj = call zeroext i1 %conj.fn(ptr %tensor)
  br i1 %conj, label %bad, label %dim
dim:
  call i32 %dim.fn(ptr %tensor, ptr %long)
  %dim.is = load i64, ptr %long
  %dim.at = getelementptr %Check, ptr %check, i64 0, i32 4
  %dim.want = load i64, ptr %dim.at
  %dim.ok = icmp eq i64 %dim.is, %dim.want
  br i1 %dim.ok, label %shape, label %bad
shape:
  call i32 %sizes.fn(ptr %tensor, ptr %pointer)
  %sizes = load ptr, ptr %pointer
  call i32 %strides.fn(ptr %tensor, ptr %pointer)
  %strides = load ptr, ptr %pointer
  %sizes.at = getelementptr %Check, ptr %check, i64 0, i32 5
  %sizes.want = load ptr, ptr %sizes.at
  %strides.at = getelementptr %Check, ptr %check, i64 0, i32 6
  %strides.want = load ptr, ptr %strides.at
  br label %axes
axes:
  %d = phi i64 [ 0, %shape ], [ %d.next, %axis.good ]
  %d.next = add i64 %d, 1
  %axes.left = icmp slt i64 %d, %dim.is
  br i1 %axes.left, label %axis, label %found
axis:
  %size.at = getelementptr i64, ptr %sizes, i64 %d
  %size = load i64, ptr %size.at
  %size.want.at = getelementptr i64, ptr %sizes.want, i64 %d
  %size.want = load i64, ptr %size.want.at
  %size.ok = icmp eq i64 %size, %size.want
  br i1 %size.ok, label %stride, label %bad
stride:
  %stride.at = getelementptr i64, ptr %strides, i64 %d
  %stride.is = load i64, ptr %stride.at
  %stride.want.at = getelementptr i64, ptr %strides.want, i64 %d
  %stride.want = load i64, ptr %stride.want.at
  %same = icmp eq i64 %stride.is, %stride.want
  %single = icmp sle i64 %size, 1   ; the stride of an axis of one element means nothing
  %stride.ok = or i1 %same, %single
  br i1 %stride.ok, label %axis.good, label %bad
axis.good:
  br label %axes
found:
  %data.code = call i32 %data.fn(ptr %tensor, ptr %pointer)
  %data.ok = icmp eq i32 %data.code, 0
  br i1 %data.ok, label %keep, label %bad
keep:
  %address = load ptr, ptr %pointer
  %slot = getelementptr ptr, ptr %arrays, i64 %i
  store ptr %address, ptr %slot
  %written = icmp eq i64 %kind, 2
  br i1 %written, label %bump, label %next
bump:
  call void %bump.fn(ptr %tensor)
  br label %next
next:
  br label %each
good:
  ret i64 0
bad:
  ret i64 %i.next
}

; Visit the segments in the lines [begin, end) of the table: update them, or sum the squares of
; their gradients.
define internal double @walk(ptr %table, i64 %begin, i64 %end, i1 %measure) nounwind {
entry:
  %segments.at = getelementptr %Table, ptr %table, i64 0, i32 4
  %segments = load ptr, ptr %segments.at
  %n.at = getelementptr %Table, ptr %table, i64 0, i32 5
  %n = load i64, ptr %n.at
  br label %search
search:                              ; the last segment that starts at or before begin
  %low = phi i64 [ 0, %entry ], [ %low.next, %halve ]
  %high = phi i64 [ %n, %entry ], [ %high.next, %halve ]
  %width = sub i64 %high, %low
  %wide = icmp sgt i64 %width, 1
  br i1 %wide, label %halve, label %run
halve:
  %sum = add i64 %low, %high
  %middle = lshr i64 %sum, 1
  %middle.at = getelementptr %Segment, ptr %segments, i64 %middle, i32 4
  %middle.line = load i64, ptr %middle.at
  %left = icmp sle i64 %middle.line, %begin
  %low.next = select i1 %left, i64 %middle, i64 %low
  %high.next = select i1 %left, i64 %high, i64 %middle
  br label %search
run:
  %s = phi i64 [ %low, %search ], [ %s.next, %next ]
  %total = phi double [ 0.0, %search ], [ %total.next, %next ]
  %in = icmp slt i64 %s, %n
  br i1 %in, label %bounds, label %done
bounds:
  %segment = getelementptr %Segment, ptr %segments, i64 %s
  %line.at = getelementptr %Segment, ptr %segment, i64 0, i32 4
  %line = load i64, ptr %line.at
  %more = icmp slt i64 %line, %end
  br i1 %more, label %part, label %done
part:
  %arrays.at = getelementptr %Segment, ptr %segment, i64 0, i32 2
  %arrays = load ptr, ptr %arrays.at
  %numel.at = getelementptr %Segment, ptr %segment, i64 0, i32 3
  %numel = load i64, ptr %numel.at
  %from.lines = sub i64 %begin, %line
  %from.some = call i64 @llvm.smax.i64(i64 %from.lines, i64 0)
  %from = mul i64 %from.some, 16       ; elements in a line
  %to.lines = sub i64 %end, %line
  %to.elements = mul i64 %to.lines, 16
  %to = call i64 @llvm.smin.i64(i64 %to.elements, i64 %numel)
  br i1 %measure, label %square, label %update
square:
  %square.at = getelementptr %Segment, ptr %segment, i64 0, i32 5
  %square.fn = load ptr, ptr %square.at
  %squares = call double %square.fn(ptr %arrays, i64 %from, i64 %to)
  br label %next
update:
  %fn = load ptr, ptr %segment
  %row.at = getelementptr %Segment, ptr %segment, i64 0, i32 1
  %row = load ptr, ptr %row.at
  call void %fn(ptr %arrays, ptr %row, i64 %from, i64 %to)
  br label %next
next:
  %more.squares = phi double [ %squares, %square ], [ 0.0, %update ]
  %total.next = fadd double %total, %more.squares
  %s.next = add i64 %s, 1
  br label %run
done:
  ret double %total
}
declare i64 @llvm.smax.i64(i64, i64)
declare i64 @llvm.smin.i64(i64, i64)

; What torch's threads call: update the lines [begin, end).
define internal void @update_lines(i64 %begin, i64 %end, ptr %table) nounwind {
  %nothing = call double @walk(ptr %table, i64 %begin, i64 %end, i1 0)
  ret void
}

; What torch's threads call: the sums of squares of the blocks [begin, end), each into its place.
; A block is 256 lines, whoever computes it, so that no sum depends on the number of threads.
define internal void @measure_blocks(i64 %begin, i64 %end, ptr %table) nounwind {
entry:
  %sums.at = getelementptr %Table, ptr %table, i64 0, i32 8
  %sums = load ptr, ptr %sums.at
  br label %each
each:
  %block = phi i64 [ %begin, %entry ], [ %block.next, %one ]
  %block.next = add i64 %block, 1
  %some = icmp slt i64 %block, %end
  br i1 %some, label %one, label %done
one:
  %first = mul i64 %block, 256
  %last = mul i64 %block.next, 256
  %sum = call double @walk(ptr %table, i64 %first, i64 %last, i1 1)
  %sum.at = getelementptr double, ptr %sums, i64 %block
  store double %sum, ptr %sum.at
  br label %each
done:
  ret void
}

; Run the whole table, on torch's threads where it is large. Returns torch's error code, 0 if none.
define i32 @run(ptr %table) nounwind {
  %functions = load ptr, ptr %table
  %parallel_for = load ptr, ptr %functions
  %lines.at = getelementptr %Table, ptr %table, i64 0, i32 6
  %lines = load i64, ptr %lines.at
  %grain.at = getelementptr %Table, ptr %table, i64 0, i32 7
  %grain = load i64, ptr %grain.at
  %code = call i32 %parallel_for(i64 0, i64 %lines, i64 %grain, ptr @update_lines, ptr %table)
  ret i32 %code
}

; What stands in for torch_parallel_for where torch's threads are gone: this thread does it all.
define i32 @alone(i64 %begin, i64 %end, i64 %grain, ptr %fn, ptr %context) nounwind {
  call void %fn(i64 %begin, i64 %end, ptr %context)
  ret i32 0
}

; Fill table.sums with the sum of the squared gradients of each block of lines; torch's error code.
define i32 @measure(ptr %table) nounwind {
  %functions = load ptr, ptr %table
  %parallel_for = load ptr, ptr %functions
  %lines.at = getelementptr %Table, ptr %table, i64 0, i32 6
  %lines = load i64, ptr %lines.at
  %grain.at = getelementptr %Table, ptr %table, i64 0, i32 7
  %grain = load i64, ptr %grain.at
  %lines.up = add i64 %lines, 255
  %blocks = lshr i64 %lines.up, 8
  %grain.up = add i64 %grain, 255
  %grain.blocks = lshr i64 %grain.up, 8
  %code = call i32 %parallel_for(i64 0, i64 %blocks, i64 %grain.blocks, ptr @measure_blocks, ptr %table)
  ret i32 %code
}

; Whether a dict of dicts holds the very objects listed: for each inner dict its address, those of
; its values, and a null; a null at the end. The list's owner keeps the objects alive, so an equal
; address is the same object.
define i64 @same(ptr %next.fn, ptr %outer, ptr %listed) nounwind {
entry:
  %place = alloca i64
  %inner.place = alloca i64
  %key = alloca ptr
  %value = alloca ptr
  store i64 0, ptr %place
  br label %outer.next
outer.next:
  %at = phi ptr [ %listed, %entry ], [ %following, %inner.end ]
  %want = load ptr, ptr %at
  %some = call i32 %next.fn(ptr %outer, ptr %place, ptr %key, ptr %value)
  %is = load ptr, ptr %value
  %ended = icmp eq i32 %some, 0
  %none = icmp eq ptr %want, null
  br i1 %ended, label %end, label %dict
dict:
  %dict.ok = icmp eq ptr %is, %want
  store i64 0, ptr %inner.place
  br i1 %dict.ok, label %inner.next, label %bad
inner.next:
  %before = phi ptr [ %at, %dict ], [ %value.at, %inner.value ]
  %value.at = getelementptr ptr, ptr %before, i64 1
  %value.want = load ptr, ptr %value.at
  %inner.some = call i32 %next.fn(ptr %is, ptr %inner.place, ptr %key, ptr %value)
  %inner.ended = icmp eq i32 %inner.some, 0
  br i1 %inner.ended, label %inner.last, label %inner.value
inner.value:
  %value.is = load ptr, ptr %value
  %value.ok = icmp eq ptr %value.is, %value.want
  br i1 %value.ok, label %inner.next, label %bad
inner.last:
  %last.ok = icmp eq ptr %value.want, null
  br i1 %last.ok, label %inner.end, label %bad
inner.end:
  %following = getelementptr ptr, ptr %value.at, i64 1
  br label %outer.next
end:
  %result = zext i1 %none to i64
  ret i64 %result
bad:
  ret i64 0
}

; Whether a list holds the very objects listed, a null at the end. As above, addresses decide.
define i64 @listed(ptr %size.fn, ptr %item.fn, ptr %list, ptr %listed) nounwind {
entry:
  %n = call i64 %size.fn(ptr %list)
  br label %each
each:
  %i = phi i64 [ 0, %entry ], [ %i.next, %item ]
  %i.next = add i64 %i, 1
  %want.at = getelementptr ptr, ptr %listed, i64 %i
  %want = load ptr, ptr %want.at
  %none = icmp eq ptr %want, null
  %some = icmp slt i64 %i, %n
  %both = xor i1 %none, %some
  br i1 %both, label %more, label %bad
more:
  br i1 %some, label %item, label %good
item:
  %is = call ptr %item.fn(ptr %list, i64 %i)
  %ok = icmp eq ptr %is, %want
  br i1 %ok, label %each, label %bad
good:
  ret i64 1
bad:
  ret i64 0
}

; Add one to each of the n counters, floats or (wide) doubles.
define void @count(ptr %counters, i64 %n, i1 %wide) nounwind {
entry:
  br label %each
each:
  %i = phi i64 [ 0, %entry ], [ %i.next, %next ]
  %i.next = add i64 %i, 1
  %some = icmp slt i64 %i, %n
  br i1 %some, label %one, label %done
one:
  br i1 %wide, label %double, label %float
double:
  %double.at = getelementptr double, ptr %counters, i64 %i
  %double.is = load double, ptr %double.at
  %double.new = fadd double %double.is, 1.0
  store double %double.new, ptr %double.at
  br label %next
float:
  %float.at = getelementptr float, ptr %counters, i64 %i
  %float.is = load float, ptr %float.at
  %float.new = fadd float %float.is, 1.0
  store float %float.new, ptr %float.at
  br label %next
next:
  br label %each
done:
  ret void
}
