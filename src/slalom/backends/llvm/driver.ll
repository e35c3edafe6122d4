; Made from driver.c by tools/make_driver.py: edit that, not this.

%struct.Table = type { ptr, ptr, ptr, i64, ptr, i64, ptr, ptr, i64, ptr, i64, i64, i64, i64 }
%struct.Segment = type { ptr, ptr, i64, i64, i64, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, i64, i64, i64, %struct.Seen, i64, i64, i64, i64 }
%struct.Seen = type { i64, i64, i64 }
%struct.Anatomy = type { i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, ptr }
%struct.Look = type { ptr, ptr, %struct.Seen, i32, i32, i64, ptr, ptr, ptr }
%struct.Torch = type { ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr }
%struct.Stage = type { ptr, ptr, i64, i64, i64, i64 }
%struct.Watch = type { ptr, ptr, i64, ptr, ptr }
%struct.Python = type { ptr, ptr, ptr, ptr, ptr }

define i64 @gather(ptr noundef %table) nounwind "no-builtins" {
entry:
  %defined.i = alloca i8, align 1
  %defined.i.i61 = alloca i8, align 1
  %address.i = alloca ptr, align 8
  %defined.i.i = alloca i8, align 1
  %n_segments = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 3
  %0 = load i64, ptr %n_segments, align 8
  %cmp.not166 = icmp sgt i64 %0, 0
  br i1 %cmp.not166, label %for.body.lr.ph, label %for.cond9.preheader.loopexit

for.body.lr.ph:
  %segments = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 2
  %anatomy1.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 1
  %grads.i.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 6
  %n_written.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 8
  %written.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 7
  br label %for.body

for.body:
  %1 = phi i64 [ %0, %for.body.lr.ph ], [ %130, %for.inc ]
  %found.0169 = phi i64 [ 0, %for.body.lr.ph ], [ %or, %for.inc ]
  %line.0168 = phi i64 [ 0, %for.body.lr.ph ], [ %line.2, %for.inc ]
  %i.0167 = phi i64 [ 0, %for.body.lr.ph ], [ %inc, %for.inc ]
  %2 = load ptr, ptr %segments, align 8
  %3 = load ptr, ptr %anatomy1.i, align 8
  %add.i = add nuw nsw i64 %i.0167, 6
  %add2.i = add nuw nsw i64 %i.0167, 3
  %tobool.not.i = icmp eq ptr %3, null
  br i1 %tobool.not.i, label %fetch.exit, label %if.end.i

if.end.i:
  %cmp.i = icmp slt i64 %add.i, %1
  br i1 %cmp.i, label %if.then3.i, label %if.end19.i

if.then3.i:
  %copied.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %add.i, i32 19
  %4 = load i64, ptr %copied.i, align 8
  %add4.i = add nsw i64 %4, 1
  %states.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %add.i, i32 20
  %5 = load i64, ptr %states.i, align 8
  %add5.i = add nsw i64 %add4.i, %5
  %kept.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %add.i, i32 21
  %6 = load i64, ptr %kept.i, align 8
  %add6.i = add nsw i64 %add5.i, %6
  %cmp7120.i = icmp sgt i64 %add6.i, 0
  br i1 %cmp7120.i, label %for.body.lr.ph.i, label %if.end19.i

for.body.lr.ph.i:
  %looks.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %add.i, i32 11
  %7 = load ptr, ptr %looks.i, align 8
  %8 = load i64, ptr %3, align 8
  %kind.i = getelementptr inbounds %struct.Anatomy, ptr %3, i64 0, i32 5
  %9 = load i64, ptr %kind.i, align 8
  %10 = add i64 %4, %5
  %xtraiter = and i64 %add6.i, 1
  %11 = sub i64 0, %6
  %12 = icmp eq i64 %10, %11
  br i1 %12, label %if.end19.i.loopexit.unr-lcssa, label %for.body.lr.ph.i.new

for.body.lr.ph.i.new:
  %unroll_iter = and i64 %add6.i, 9223372036854775806
  br label %for.body.i

for.body.i:
  %i.0121.i = phi i64 [ 0, %for.body.lr.ph.i.new ], [ %inc.i.1, %if.end18.i.1 ]
  %niter = phi i64 [ 0, %for.body.lr.ph.i.new ], [ %niter.next.1, %if.end18.i.1 ]
  %arrayidx8.i = getelementptr inbounds %struct.Look, ptr %7, i64 %i.0121.i
  %13 = load ptr, ptr %arrayidx8.i, align 8
  %add.ptr.i = getelementptr inbounds i64, ptr %13, i64 %8
  call void @llvm.prefetch.p0(ptr %add.ptr.i, i32 0, i32 3, i32 1)
  %add.ptr10.i = getelementptr inbounds i64, ptr %13, i64 %9
  call void @llvm.prefetch.p0(ptr %add.ptr10.i, i32 0, i32 3, i32 1)
  %holder.i = getelementptr inbounds %struct.Look, ptr %7, i64 %i.0121.i, i32 1
  %14 = load ptr, ptr %holder.i, align 8
  %tobool13.not.i = icmp eq ptr %14, null
  br i1 %tobool13.not.i, label %if.end18.i, label %if.then14.i

if.then14.i:
  call void @llvm.prefetch.p0(ptr nonnull %14, i32 0, i32 3, i32 1)
  br label %if.end18.i

if.end18.i:
  %inc.i = or disjoint i64 %i.0121.i, 1
  %arrayidx8.i.1 = getelementptr inbounds %struct.Look, ptr %7, i64 %inc.i
  %15 = load ptr, ptr %arrayidx8.i.1, align 8
  %add.ptr.i.1 = getelementptr inbounds i64, ptr %15, i64 %8
  call void @llvm.prefetch.p0(ptr %add.ptr.i.1, i32 0, i32 3, i32 1)
  %add.ptr10.i.1 = getelementptr inbounds i64, ptr %15, i64 %9
  call void @llvm.prefetch.p0(ptr %add.ptr10.i.1, i32 0, i32 3, i32 1)
  %holder.i.1 = getelementptr inbounds %struct.Look, ptr %7, i64 %inc.i, i32 1
  %16 = load ptr, ptr %holder.i.1, align 8
  %tobool13.not.i.1 = icmp eq ptr %16, null
  br i1 %tobool13.not.i.1, label %if.end18.i.1, label %if.then14.i.1

if.then14.i.1:
  call void @llvm.prefetch.p0(ptr nonnull %16, i32 0, i32 3, i32 1)
  br label %if.end18.i.1

if.end18.i.1:
  %inc.i.1 = add nuw nsw i64 %i.0121.i, 2
  %niter.next.1 = add i64 %niter, 2
  %niter.ncmp.1 = icmp eq i64 %niter.next.1, %unroll_iter
  br i1 %niter.ncmp.1, label %if.end19.i.loopexit.unr-lcssa, label %for.body.i

if.end19.i.loopexit.unr-lcssa:
  %i.0121.i.unr = phi i64 [ 0, %for.body.lr.ph.i ], [ %inc.i.1, %if.end18.i.1 ]
  %lcmp.mod.not = icmp eq i64 %xtraiter, 0
  br i1 %lcmp.mod.not, label %if.end19.i, label %for.body.i.epil

for.body.i.epil:
  %arrayidx8.i.epil = getelementptr inbounds %struct.Look, ptr %7, i64 %i.0121.i.unr
  %17 = load ptr, ptr %arrayidx8.i.epil, align 8
  %add.ptr.i.epil = getelementptr inbounds i64, ptr %17, i64 %8
  call void @llvm.prefetch.p0(ptr %add.ptr.i.epil, i32 0, i32 3, i32 1)
  %add.ptr10.i.epil = getelementptr inbounds i64, ptr %17, i64 %9
  call void @llvm.prefetch.p0(ptr %add.ptr10.i.epil, i32 0, i32 3, i32 1)
  %holder.i.epil = getelementptr inbounds %struct.Look, ptr %7, i64 %i.0121.i.unr, i32 1
  %18 = load ptr, ptr %holder.i.epil, align 8
  %tobool13.not.i.epil = icmp eq ptr %18, null
  br i1 %tobool13.not.i.epil, label %if.end19.i, label %if.then14.i.epil

if.then14.i.epil:
  call void @llvm.prefetch.p0(ptr nonnull %18, i32 0, i32 3, i32 1)
  br label %if.end19.i

if.end19.i:
  %cmp21.i = icmp slt i64 %add2.i, %1
  br i1 %cmp21.i, label %if.then22.i, label %fetch.exit

if.then22.i:
  %copied27.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %add2.i, i32 19
  %19 = load i64, ptr %copied27.i, align 8
  %add28.i = add nsw i64 %19, 1
  %states29.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %add2.i, i32 20
  %20 = load i64, ptr %states29.i, align 8
  %add30.i = add nsw i64 %add28.i, %20
  %kept31.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %add2.i, i32 21
  %21 = load i64, ptr %kept31.i, align 8
  %add32.i = add nsw i64 %add30.i, %21
  %cmp35122.i = icmp sgt i64 %add32.i, 0
  %looks39.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %add2.i, i32 11
  %22 = load ptr, ptr %looks39.i, align 8
  br i1 %cmp35122.i, label %for.body37.lr.ph.i, label %for.cond.cleanup36.i

for.body37.lr.ph.i:
  %data.i = getelementptr inbounds %struct.Anatomy, ptr %3, i64 0, i32 7
  br label %for.body37.i

for.cond.cleanup36.i:
  %holder.i.i = getelementptr inbounds %struct.Look, ptr %22, i64 0, i32 1
  %23 = load ptr, ptr %holder.i.i, align 8
  %tobool.not.i.i = icmp eq ptr %23, null
  br i1 %tobool.not.i.i, label %cond.true.i, label %held.exit.i

held.exit.i:
  %24 = load ptr, ptr %23, align 8
  %25 = load ptr, ptr %22, align 8
  %cmp.i.i = icmp eq ptr %24, %25
  br i1 %cmp.i.i, label %cond.true.i, label %fetch.exit

for.body37.i:
  %i33.0123.i = phi i64 [ 0, %for.body37.lr.ph.i ], [ %inc51.i, %if.end49.i ]
  %arrayidx40.i = getelementptr inbounds %struct.Look, ptr %22, i64 %i33.0123.i
  %26 = load ptr, ptr %arrayidx40.i, align 8
  %tobool42.not.i = icmp eq ptr %26, null
  br i1 %tobool42.not.i, label %if.end49.i, label %land.lhs.true.i

land.lhs.true.i:
  %holder.i101.i = getelementptr inbounds %struct.Look, ptr %22, i64 %i33.0123.i, i32 1
  %27 = load ptr, ptr %holder.i101.i, align 8
  %tobool.not.i102.i = icmp eq ptr %27, null
  br i1 %tobool.not.i102.i, label %if.then45.i, label %held.exit105.i

held.exit105.i:
  %28 = load ptr, ptr %27, align 8
  %cmp.i104.i = icmp eq ptr %28, %26
  br i1 %cmp.i104.i, label %if.then45.i, label %if.end49.i

if.then45.i:
  %29 = load i64, ptr %3, align 8
  %arrayidx47.i = getelementptr inbounds i64, ptr %26, i64 %29
  %30 = load i64, ptr %arrayidx47.i, align 8
  %31 = inttoptr i64 %30 to ptr
  %32 = load i64, ptr %data.i, align 8
  %add.ptr48.i = getelementptr inbounds i64, ptr %31, i64 %32
  call void @llvm.prefetch.p0(ptr %add.ptr48.i, i32 0, i32 3, i32 1)
  br label %if.end49.i

if.end49.i:
  %inc51.i = add nuw nsw i64 %i33.0123.i, 1
  %exitcond124.not.i = icmp eq i64 %inc51.i, %add32.i
  br i1 %exitcond124.not.i, label %for.cond.cleanup36.i, label %for.body37.i

cond.true.i:
  %33 = load ptr, ptr %table, align 8
  store i8 0, ptr %defined.i.i, align 1
  %grad.i.i = getelementptr inbounds %struct.Torch, ptr %33, i64 0, i32 13
  %34 = load ptr, ptr %grad.i.i, align 8
  %tobool.not.i106.i = icmp eq ptr %34, null
  br i1 %tobool.not.i106.i, label %if.then.i.i, label %if.end.i.i

if.then.i.i:
  %35 = load ptr, ptr %grads.i.i, align 8
  %arrayidx.i.i = getelementptr inbounds ptr, ptr %35, i64 %add2.i
  %36 = load ptr, ptr %arrayidx.i.i, align 8
  %tobool2.not.i.i = icmp eq ptr %36, null
  br i1 %tobool2.not.i.i, label %cond.end.thread112.i, label %cond.end.thread116.i

if.end.i.i:
  %37 = load ptr, ptr %22, align 8
  %call.i.i = call ptr %34(ptr noundef %37)
  %38 = load ptr, ptr %anatomy1.i, align 8
  %tobool7.not.i.i = icmp eq ptr %38, null
  br i1 %tobool7.not.i.i, label %if.end14.i.i, label %if.then8.i.i

if.then8.i.i:
  %39 = load ptr, ptr %call.i.i, align 8
  %undefined.i.i = getelementptr inbounds %struct.Anatomy, ptr %38, i64 0, i32 12
  %40 = load ptr, ptr %undefined.i.i, align 8
  %cmp.i107.i = icmp eq ptr %39, %40
  br i1 %cmp.i107.i, label %cond.end.thread112.i, label %cond.end.thread116.i

if.end14.i.i:
  %is_defined.i.i = getelementptr inbounds %struct.Torch, ptr %33, i64 0, i32 1
  %41 = load ptr, ptr %is_defined.i.i, align 8
  %call15.i.i = call i32 %41(ptr noundef %call.i.i, ptr noundef nonnull %defined.i.i)
  %tobool16.i.i = icmp eq i32 %call15.i.i, 0
  %42 = load i8, ptr %defined.i.i, align 1
  %tobool17.i.i = icmp ne i8 %42, 0
  %or.cond.i.i = select i1 %tobool16.i.i, i1 %tobool17.i.i, i1 false
  br i1 %or.cond.i.i, label %cond.end.i, label %cond.end.thread112.i

cond.end.thread112.i:
  br label %fetch.exit

cond.end.thread116.i:
  %43 = phi ptr [ %39, %if.then8.i.i ], [ %36, %if.then.i.i ]
  br label %if.then58.i

cond.end.i:
  %tobool57.not.i = icmp eq ptr %call.i.i, null
  br i1 %tobool57.not.i, label %fetch.exit, label %cond.end.if.then58_crit_edge.i

cond.end.if.then58_crit_edge.i:
  %.pre125.i = load ptr, ptr %call.i.i, align 8
  br label %if.then58.i

if.then58.i:
  %44 = phi ptr [ %43, %cond.end.thread116.i ], [ %.pre125.i, %cond.end.if.then58_crit_edge.i ]
  %dim.i = getelementptr inbounds %struct.Anatomy, ptr %3, i64 0, i32 1
  %45 = load i64, ptr %dim.i, align 8
  %add.ptr59.i = getelementptr inbounds i64, ptr %44, i64 %45
  call void @llvm.prefetch.p0(ptr %add.ptr59.i, i32 0, i32 3, i32 1)
  br label %fetch.exit

fetch.exit:
  %looks.i62 = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0167, i32 11
  %46 = load ptr, ptr %looks.i62, align 8
  %incdec.ptr.i = getelementptr inbounds %struct.Look, ptr %46, i64 1
  %holder.i.i63 = getelementptr inbounds %struct.Look, ptr %46, i64 0, i32 1
  %47 = load ptr, ptr %holder.i.i63, align 8
  %tobool.not.i.i64 = icmp eq ptr %47, null
  br i1 %tobool.not.i.i64, label %lor.lhs.false.i, label %held.exit.i65

held.exit.i65:
  %48 = load ptr, ptr %47, align 8
  %49 = load ptr, ptr %46, align 8
  %cmp.i.i66 = icmp eq ptr %48, %49
  br i1 %cmp.i.i66, label %lor.lhs.false.i, label %look_at.exit.thread

lor.lhs.false.i:
  %dtype.i = getelementptr inbounds %struct.Look, ptr %46, i64 0, i32 3
  %50 = load i32, ptr %dtype.i, align 8
  %conv.i = sext i32 %50 to i64
  %seen.i = getelementptr inbounds %struct.Look, ptr %46, i64 0, i32 2
  %call1.i = call fastcc i1 @fits(ptr noundef %table, ptr noundef nonnull %46, i64 noundef %conv.i, ptr noundef nonnull %seen.i, ptr noundef nonnull %46)
  br i1 %call1.i, label %if.end.i67, label %look_at.exit.thread

if.end.i67:
  %51 = load ptr, ptr %anatomy1.i, align 8
  %tobool.not.i169.i = icmp eq ptr %51, null
  br i1 %tobool.not.i169.i, label %memory.exit.i, label %land.lhs.true.i.i

land.lhs.true.i.i:
  %itemsize.i.i = getelementptr inbounds %struct.Look, ptr %46, i64 0, i32 2, i32 2
  %52 = load i64, ptr %itemsize.i.i, align 8
  %tobool2.not.i.i68 = icmp eq i64 %52, 0
  br i1 %tobool2.not.i.i68, label %memory.exit.i, label %if.then.i.i69

if.then.i.i69:
  %53 = load ptr, ptr %46, align 8
  %54 = load i64, ptr %51, align 8
  %arrayidx.i.i70 = getelementptr inbounds i64, ptr %53, i64 %54
  %55 = load i64, ptr %arrayidx.i.i70, align 8
  %56 = inttoptr i64 %55 to ptr
  %tobool4.not.i.i = icmp eq i64 %55, 0
  br i1 %tobool4.not.i.i, label %memory.exit.i, label %cond.end.i.i

cond.end.i.i:
  %data5.i.i = getelementptr inbounds %struct.Anatomy, ptr %51, i64 0, i32 7
  %57 = load i64, ptr %data5.i.i, align 8
  %arrayidx6.i.i = getelementptr inbounds i64, ptr %56, i64 %57
  %58 = load i64, ptr %arrayidx6.i.i, align 8
  %tobool7.not.i.i71 = icmp eq i64 %58, 0
  br i1 %tobool7.not.i.i71, label %memory.exit.i, label %land.lhs.true8.i.i

land.lhs.true8.i.i:
  %context.i.i = getelementptr inbounds %struct.Anatomy, ptr %51, i64 0, i32 8
  %59 = load i64, ptr %context.i.i, align 8
  %arrayidx9.i.i = getelementptr inbounds i64, ptr %56, i64 %59
  %60 = load i64, ptr %arrayidx9.i.i, align 8
  %cmp.i170.i = icmp eq i64 %60, %58
  br i1 %cmp.i170.i, label %memory.exit.thread.i, label %memory.exit.i

memory.exit.thread.i:
  %offset.i.i = getelementptr inbounds %struct.Anatomy, ptr %51, i64 0, i32 4
  %61 = load i64, ptr %offset.i.i, align 8
  %arrayidx11.i.i = getelementptr inbounds i64, ptr %53, i64 %61
  %62 = load i64, ptr %arrayidx11.i.i, align 8
  %mul.i.i = mul i64 %62, %52
  %add.i.i = add i64 %mul.i.i, %58
  %63 = inttoptr i64 %add.i.i to ptr
  store ptr %63, ptr %address.i, align 8
  br label %lor.lhs.false4.i

memory.exit.i:
  %64 = load ptr, ptr %table, align 8
  %data16.i.i = getelementptr inbounds %struct.Torch, ptr %64, i64 0, i32 9
  %65 = load ptr, ptr %data16.i.i, align 8
  %call.i.i72 = call i32 %65(ptr noundef nonnull %46, ptr noundef nonnull %address.i)
  %tobool17.not.i.i = icmp eq i32 %call.i.i72, 0
  br i1 %tobool17.not.i.i, label %lor.lhs.false4thread-pre-split.i, label %look_at.exit.thread

lor.lhs.false4thread-pre-split.i:
  %.pr.i = load ptr, ptr %address.i, align 8
  br label %lor.lhs.false4.i

lor.lhs.false4.i:
  %66 = phi ptr [ %.pr.i, %lor.lhs.false4thread-pre-split.i ], [ %63, %memory.exit.thread.i ]
  %tobool.not.i73 = icmp eq ptr %66, null
  br i1 %tobool.not.i73, label %land.lhs.true.i94, label %if.end7.i

land.lhs.true.i94:
  %numel.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0167, i32 15
  %67 = load i64, ptr %numel.i, align 8
  %tobool5.not.i = icmp eq i64 %67, 0
  br i1 %tobool5.not.i, label %if.end7.i, label %look_at.exit.thread

if.end7.i:
  %address8.i = getelementptr inbounds %struct.Look, ptr %46, i64 0, i32 8
  %68 = load ptr, ptr %address8.i, align 8
  %cmp.not.i = icmp eq ptr %66, %68
  %spec.select.i = select i1 %cmp.not.i, i64 0, i64 2
  store ptr %66, ptr %address8.i, align 8
  %arrays.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0167, i32 12
  %69 = load ptr, ptr %arrays.i, align 8
  store ptr %66, ptr %69, align 8
  %70 = load ptr, ptr %table, align 8
  store i8 0, ptr %defined.i.i61, align 1
  %grad.i.i74 = getelementptr inbounds %struct.Torch, ptr %70, i64 0, i32 13
  %71 = load ptr, ptr %grad.i.i74, align 8
  %tobool.not.i171.i = icmp eq ptr %71, null
  br i1 %tobool.not.i171.i, label %if.then.i176.i, label %if.end.i.i75

if.then.i176.i:
  %72 = load ptr, ptr %grads.i.i, align 8
  %arrayidx.i177.i = getelementptr inbounds ptr, ptr %72, i64 %i.0167
  %73 = load ptr, ptr %arrayidx.i177.i, align 8
  %tobool2.not.i178.i = icmp eq ptr %73, null
  %spec.select.i.i = select i1 %tobool2.not.i178.i, ptr null, ptr %arrayidx.i177.i
  br label %gradient.exit.i

if.end.i.i75:
  %74 = load ptr, ptr %46, align 8
  %call.i172.i = call ptr %71(ptr noundef %74)
  %75 = load ptr, ptr %anatomy1.i, align 8
  %tobool7.not.i173.i = icmp eq ptr %75, null
  br i1 %tobool7.not.i173.i, label %if.end14.i.i87, label %if.then8.i.i76

if.then8.i.i76:
  %76 = load ptr, ptr %call.i172.i, align 8
  %undefined.i.i77 = getelementptr inbounds %struct.Anatomy, ptr %75, i64 0, i32 12
  %77 = load ptr, ptr %undefined.i.i77, align 8
  %cmp.i174.i = icmp eq ptr %76, %77
  %cond13.i.i = select i1 %cmp.i174.i, ptr null, ptr %call.i172.i
  br label %gradient.exit.i

if.end14.i.i87:
  %is_defined.i.i88 = getelementptr inbounds %struct.Torch, ptr %70, i64 0, i32 1
  %78 = load ptr, ptr %is_defined.i.i88, align 8
  %call15.i.i89 = call i32 %78(ptr noundef %call.i172.i, ptr noundef nonnull %defined.i.i61)
  %tobool16.i.i90 = icmp eq i32 %call15.i.i89, 0
  %79 = load i8, ptr %defined.i.i61, align 1
  %tobool17.i.i91 = icmp ne i8 %79, 0
  %or.cond.i.i92 = select i1 %tobool16.i.i90, i1 %tobool17.i.i91, i1 false
  %cond21.i.i = select i1 %or.cond.i.i92, ptr %call.i172.i, ptr null
  br label %gradient.exit.i

gradient.exit.i:
  %retval.1.i175.i = phi ptr [ %spec.select.i.i, %if.then.i176.i ], [ %cond13.i.i, %if.then8.i.i76 ], [ %cond21.i.i, %if.end14.i.i87 ]
  %present.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0167, i32 14
  %80 = load ptr, ptr %present.i, align 8
  %81 = load i64, ptr %80, align 8
  %cmp14.i = icmp ne ptr %retval.1.i175.i, null
  %conv16.i = zext i1 %cmp14.i to i64
  %cmp17.not.i = icmp ne i64 %81, %conv16.i
  %or20.i = zext i1 %cmp17.not.i to i64
  %found.1.i = or disjoint i64 %spec.select.i, %or20.i
  store i64 %conv16.i, ptr %80, align 8
  %copied.i78 = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0167, i32 19
  %82 = load i64, ptr %copied.i78, align 8
  %tobool26.not.i = icmp eq i64 %82, 0
  br i1 %tobool26.not.i, label %if.else.i, label %if.then27.i

if.then27.i:
  %incdec.ptr28.i = getelementptr inbounds %struct.Look, ptr %46, i64 2
  %address29.i = getelementptr inbounds %struct.Look, ptr %46, i64 1, i32 8
  %83 = load ptr, ptr %address29.i, align 8
  %84 = load ptr, ptr %arrays.i, align 8
  %arrayidx31.i = getelementptr inbounds ptr, ptr %84, i64 1
  store ptr %83, ptr %arrayidx31.i, align 8
  br label %if.end60.i

if.else.i:
  br i1 %cmp14.i, label %if.then33.i, label %if.end60.i

if.then33.i:
  %grad_seen.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0167, i32 18
  %grad_dtype.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0167, i32 17
  %85 = load i64, ptr %grad_dtype.i, align 8
  %call35.i = call fastcc i1 @fits(ptr noundef nonnull %table, ptr noundef nonnull %retval.1.i175.i, i64 noundef %85, ptr noundef nonnull %grad_seen.i, ptr noundef nonnull %46)
  br i1 %call35.i, label %if.end37.i, label %look_at.exit.thread

if.end37.i:
  %86 = load ptr, ptr %anatomy1.i, align 8
  %tobool.not.i107 = icmp eq ptr %86, null
  br i1 %tobool.not.i107, label %memory.exit, label %land.lhs.true.i108

land.lhs.true.i108:
  %itemsize.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0167, i32 18, i32 2
  %87 = load i64, ptr %itemsize.i, align 8
  %tobool2.not.i109 = icmp eq i64 %87, 0
  br i1 %tobool2.not.i109, label %memory.exit, label %if.then.i110

if.then.i110:
  %88 = load ptr, ptr %retval.1.i175.i, align 8
  %89 = load i64, ptr %86, align 8
  %arrayidx.i111 = getelementptr inbounds i64, ptr %88, i64 %89
  %90 = load i64, ptr %arrayidx.i111, align 8
  %91 = inttoptr i64 %90 to ptr
  %tobool4.not.i = icmp eq i64 %90, 0
  br i1 %tobool4.not.i, label %memory.exit, label %cond.end.i112

cond.end.i112:
  %data5.i = getelementptr inbounds %struct.Anatomy, ptr %86, i64 0, i32 7
  %92 = load i64, ptr %data5.i, align 8
  %arrayidx6.i = getelementptr inbounds i64, ptr %91, i64 %92
  %93 = load i64, ptr %arrayidx6.i, align 8
  %tobool7.not.i113 = icmp eq i64 %93, 0
  br i1 %tobool7.not.i113, label %memory.exit, label %land.lhs.true8.i

land.lhs.true8.i:
  %context.i = getelementptr inbounds %struct.Anatomy, ptr %86, i64 0, i32 8
  %94 = load i64, ptr %context.i, align 8
  %arrayidx9.i = getelementptr inbounds i64, ptr %91, i64 %94
  %95 = load i64, ptr %arrayidx9.i, align 8
  %cmp.i114 = icmp eq i64 %95, %93
  br i1 %cmp.i114, label %memory.exit.thread, label %memory.exit

memory.exit.thread:
  %offset.i = getelementptr inbounds %struct.Anatomy, ptr %86, i64 0, i32 4
  %96 = load i64, ptr %offset.i, align 8
  %arrayidx11.i = getelementptr inbounds i64, ptr %88, i64 %96
  %97 = load i64, ptr %arrayidx11.i, align 8
  %mul.i117 = mul i64 %97, %87
  %add.i118 = add i64 %mul.i117, %93
  %98 = inttoptr i64 %add.i118 to ptr
  store ptr %98, ptr %address.i, align 8
  br label %lor.lhs.false39.i

memory.exit:
  %99 = load ptr, ptr %table, align 8
  %data16.i = getelementptr inbounds %struct.Torch, ptr %99, i64 0, i32 9
  %100 = load ptr, ptr %data16.i, align 8
  %call.i115 = call i32 %100(ptr noundef nonnull %retval.1.i175.i, ptr noundef nonnull %address.i)
  %tobool17.not.i = icmp eq i32 %call.i115, 0
  br i1 %tobool17.not.i, label %lor.lhs.false39.ithread-pre-split, label %look_at.exit.thread

lor.lhs.false39.ithread-pre-split:
  %.pr = load ptr, ptr %address.i, align 8
  br label %lor.lhs.false39.i

lor.lhs.false39.i:
  %101 = phi ptr [ %.pr, %lor.lhs.false39.ithread-pre-split ], [ %98, %memory.exit.thread ]
  %tobool40.not.i = icmp eq ptr %101, null
  br i1 %tobool40.not.i, label %land.lhs.true41.i, label %if.end45.i

land.lhs.true41.i:
  %numel42.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0167, i32 15
  %102 = load i64, ptr %numel42.i, align 8
  %tobool43.not.i = icmp eq i64 %102, 0
  br i1 %tobool43.not.i, label %if.end45.i, label %look_at.exit.thread

if.end45.i:
  %103 = load ptr, ptr %arrays.i, align 8
  %arrayidx47.i85 = getelementptr inbounds ptr, ptr %103, i64 1
  %104 = load ptr, ptr %arrayidx47.i85, align 8
  %cmp48.not.i = icmp eq ptr %101, %104
  br i1 %cmp48.not.i, label %if.else55.i, label %land.lhs.true50.i

land.lhs.true50.i:
  %105 = ptrtoint ptr %101 to i64
  %bytes.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0167, i32 16
  %106 = load i64, ptr %bytes.i, align 8
  %add.i86 = add i64 %106, %105
  %107 = load i64, ptr %n_written.i, align 8
  %cmp19.i = icmp sgt i64 %107, 0
  br i1 %cmp19.i, label %while.body.lr.ph.i, label %while.end.i

while.body.lr.ph.i:
  %108 = load ptr, ptr %written.i, align 8
  br label %while.body.i

while.body.i:
  %low.021.i = phi i64 [ 0, %while.body.lr.ph.i ], [ %low.1.i, %while.body.i ]
  %high.020.i = phi i64 [ %107, %while.body.lr.ph.i ], [ %high.1.i, %while.body.i ]
  %add.i103 = add nsw i64 %high.020.i, %low.021.i
  %div.i = sdiv i64 %add.i103, 2
  %mul.i = shl nsw i64 %div.i, 1
  %add1.i = or disjoint i64 %mul.i, 1
  %arrayidx.i104 = getelementptr inbounds i64, ptr %108, i64 %add1.i
  %109 = load i64, ptr %arrayidx.i104, align 8
  %cmp2.i = icmp ugt i64 %109, %105
  %add3.i = add nsw i64 %div.i, 1
  %high.1.i = select i1 %cmp2.i, i64 %div.i, i64 %high.020.i
  %low.1.i = select i1 %cmp2.i, i64 %low.021.i, i64 %add3.i
  %cmp.i105 = icmp slt i64 %low.1.i, %high.1.i
  br i1 %cmp.i105, label %while.body.i, label %while.end.i

while.end.i:
  %low.0.lcssa.i = phi i64 [ 0, %land.lhs.true50.i ], [ %low.1.i, %while.body.i ]
  %cmp5.i = icmp slt i64 %low.0.lcssa.i, %107
  br i1 %cmp5.i, label %written.exit, label %if.else55.i

written.exit:
  %110 = load ptr, ptr %written.i, align 8
  %mul7.i = shl nsw i64 %low.0.lcssa.i, 1
  %arrayidx8.i102 = getelementptr inbounds i64, ptr %110, i64 %mul7.i
  %111 = load i64, ptr %arrayidx8.i102, align 8
  %cmp9.i = icmp ult i64 %111, %add.i86
  br i1 %cmp9.i, label %if.then53.i, label %if.else55.i

if.then53.i:
  %or54.i = or disjoint i64 %or20.i, 2
  br label %if.end60.i

if.else55.i:
  store ptr %101, ptr %arrayidx47.i85, align 8
  br label %if.end60.i

if.end60.i:
  %found.4.i = phi i64 [ %found.1.i, %if.then27.i ], [ %found.1.i, %if.else.i ], [ %or54.i, %if.then53.i ], [ %found.1.i, %if.else55.i ]
  %look.0.i = phi ptr [ %incdec.ptr28.i, %if.then27.i ], [ %incdec.ptr.i, %if.else.i ], [ %incdec.ptr.i, %if.then53.i ], [ %incdec.ptr.i, %if.else55.i ]
  %states.i79 = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0167, i32 20
  %112 = load i64, ptr %states.i79, align 8
  %cmp61.not186.i = icmp sgt i64 %112, 0
  br i1 %cmp61.not186.i, label %for.body.i83, label %for.cond73.preheader.i

for.cond73.preheader.i:
  %look.1.lcssa.i = phi ptr [ %look.0.i, %if.end60.i ], [ %incdec.ptr69.i, %if.end65.i ]
  %kept.i80 = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0167, i32 21
  %113 = load i64, ptr %kept.i80, align 8
  %cmp74.not189.i = icmp sgt i64 %113, 0
  br i1 %cmp74.not189.i, label %for.body77.lr.ph.i, label %look_at.exit.thread123

look_at.exit.thread123:
  br label %if.end

for.body77.lr.ph.i:
  %values.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0167, i32 13
  br label %for.body77.i

for.body.i83:
  %i.0188.i = phi i64 [ %inc.i84, %if.end65.i ], [ 0, %if.end60.i ]
  %look.1187.i = phi ptr [ %incdec.ptr69.i, %if.end65.i ], [ %look.0.i, %if.end60.i ]
  %call63.i = call fastcc i1 @unmoved(ptr noundef nonnull %table, ptr noundef nonnull %look.1187.i, ptr noundef nonnull %address.i)
  br i1 %call63.i, label %if.end65.i, label %look_at.exit.thread

if.end65.i:
  %114 = load ptr, ptr %address.i, align 8
  %115 = load ptr, ptr %arrays.i, align 8
  %116 = getelementptr ptr, ptr %115, i64 %i.0188.i
  %arrayidx68.i = getelementptr ptr, ptr %116, i64 2
  store ptr %114, ptr %arrayidx68.i, align 8
  %inc.i84 = add nuw nsw i64 %i.0188.i, 1
  %incdec.ptr69.i = getelementptr inbounds %struct.Look, ptr %look.1187.i, i64 1
  %117 = load i64, ptr %states.i79, align 8
  %cmp61.not.i = icmp slt i64 %inc.i84, %117
  br i1 %cmp61.not.i, label %for.body.i83, label %for.cond73.preheader.i

for.body77.i:
  %118 = phi i64 [ %113, %for.body77.lr.ph.i ], [ %126, %for.inc95.i ]
  %i72.0192.i = phi i64 [ 0, %for.body77.lr.ph.i ], [ %inc96.i, %for.inc95.i ]
  %look.2191.i = phi ptr [ %look.1.lcssa.i, %for.body77.lr.ph.i ], [ %incdec.ptr97.i, %for.inc95.i ]
  %found.5190.i = phi i64 [ %found.4.i, %for.body77.lr.ph.i ], [ %found.7.i, %for.inc95.i ]
  %119 = load ptr, ptr %look.2191.i, align 8
  %tobool78.not.i = icmp eq ptr %119, null
  br i1 %tobool78.not.i, label %for.inc95.i, label %if.end80.i

if.end80.i:
  %call81.i = call fastcc i1 @unmoved(ptr noundef nonnull %table, ptr noundef nonnull %look.2191.i, ptr noundef nonnull %address.i)
  br i1 %call81.i, label %if.end83.i, label %look_at.exit.thread

if.end83.i:
  %itemsize.i179.i = getelementptr inbounds %struct.Look, ptr %look.2191.i, i64 0, i32 2, i32 2
  %120 = load i64, ptr %itemsize.i179.i, align 8
  %cmp.i180.i = icmp eq i64 %120, 8
  %121 = load ptr, ptr %address.i, align 8
  br i1 %cmp.i180.i, label %cond.true.i82, label %cond.false.i

cond.true.i82:
  %122 = load double, ptr %121, align 8
  br label %cond.end.i81

cond.false.i:
  %123 = load float, ptr %121, align 4
  %conv86.i = fpext float %123 to double
  br label %cond.end.i81

cond.end.i81:
  %cond.i = phi double [ %122, %cond.true.i82 ], [ %conv86.i, %cond.false.i ]
  %124 = load ptr, ptr %values.i, align 8
  %arrayidx87.i = getelementptr inbounds double, ptr %124, i64 %i72.0192.i
  %125 = load double, ptr %arrayidx87.i, align 8
  %cmp88.i = fcmp une double %cond.i, %125
  %or91.i = zext i1 %cmp88.i to i64
  %found.6.i = or i64 %found.5190.i, %or91.i
  store double %cond.i, ptr %arrayidx87.i, align 8
  %.pre.i = load i64, ptr %kept.i80, align 8
  br label %for.inc95.i

for.inc95.i:
  %126 = phi i64 [ %.pre.i, %cond.end.i81 ], [ %118, %for.body77.i ]
  %found.7.i = phi i64 [ %found.6.i, %cond.end.i81 ], [ %found.5190.i, %for.body77.i ]
  %inc96.i = add nuw nsw i64 %i72.0192.i, 1
  %incdec.ptr97.i = getelementptr inbounds %struct.Look, ptr %look.2191.i, i64 1
  %cmp74.not.i = icmp slt i64 %inc96.i, %126
  br i1 %cmp74.not.i, label %for.body77.i, label %look_at.exit

look_at.exit.thread:
  br label %cleanup29

look_at.exit:
  br label %if.end

if.end:
  %retval.5.i126 = phi i64 [ %found.4.i, %look_at.exit.thread123 ], [ %found.7.i, %look_at.exit ]
  %or = or i64 %retval.5.i126, %found.0169
  %first_line = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0167, i32 22
  store i64 %line.0168, ptr %first_line, align 8
  %127 = load ptr, ptr %present.i, align 8
  %128 = load i64, ptr %127, align 8
  %tobool.not = icmp eq i64 %128, 0
  br i1 %tobool.not, label %for.inc, label %if.then2

if.then2:
  %numel = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0167, i32 15
  %129 = load i64, ptr %numel, align 8
  %sub = add nsw i64 %129, 63
  %div = sdiv i64 %sub, 64
  %add3 = add nsw i64 %div, %line.0168
  br label %for.inc

for.inc:
  %line.2 = phi i64 [ %add3, %if.then2 ], [ %line.0168, %if.end ]
  %inc = add nuw nsw i64 %i.0167, 1
  %130 = load i64, ptr %n_segments, align 8
  %cmp.not = icmp slt i64 %inc, %130
  br i1 %cmp.not, label %for.body, label %for.cond9.preheader.loopexit

for.cond9.preheader.loopexit:
  %line.0.lcssa = phi i64 [ 0, %entry ], [ %line.2, %for.inc ]
  %found.0.lcssa = phi i64 [ 0, %entry ], [ %or, %for.inc ]
  %n_absent = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 5
  %131 = load i64, ptr %n_absent, align 8
  %cmp10.not171 = icmp sgt i64 %131, 0
  br i1 %cmp10.not171, label %for.body12.lr.ph, label %for.end28

for.body12.lr.ph:
  %absent = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 4
  %anatomy.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 1
  %grads.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 6
  br label %for.body12

for.body12:
  %i8.0172 = phi i64 [ 0, %for.body12.lr.ph ], [ %inc25, %if.end20 ]
  %132 = load ptr, ptr %absent, align 8
  %arrayidx13 = getelementptr inbounds %struct.Look, ptr %132, i64 %i8.0172
  %holder.i95 = getelementptr inbounds %struct.Look, ptr %132, i64 %i8.0172, i32 1
  %133 = load ptr, ptr %holder.i95, align 8
  %tobool.not.i96 = icmp eq ptr %133, null
  br i1 %tobool.not.i96, label %lor.lhs.false, label %held.exit

held.exit:
  %134 = load ptr, ptr %133, align 8
  %135 = load ptr, ptr %arrayidx13, align 8
  %cmp.i97 = icmp eq ptr %134, %135
  br i1 %cmp.i97, label %lor.lhs.false, label %cleanup29

lor.lhs.false:
  %136 = load i64, ptr %n_segments, align 8
  %137 = load ptr, ptr %table, align 8
  store i8 0, ptr %defined.i, align 1
  %grad.i = getelementptr inbounds %struct.Torch, ptr %137, i64 0, i32 13
  %138 = load ptr, ptr %grad.i, align 8
  %tobool.not.i98 = icmp eq ptr %138, null
  br i1 %tobool.not.i98, label %if.then.i, label %if.end.i99

if.then.i:
  %139 = load ptr, ptr %grads.i, align 8
  %140 = getelementptr ptr, ptr %139, i64 %136
  %arrayidx.i = getelementptr ptr, ptr %140, i64 %i8.0172
  %141 = load ptr, ptr %arrayidx.i, align 8
  %tobool2.not.i = icmp eq ptr %141, null
  br i1 %tobool2.not.i, label %gradient.exit.thread, label %gradient.exit.thread136

if.end.i99:
  %142 = load ptr, ptr %arrayidx13, align 8
  %call.i = call ptr %138(ptr noundef %142)
  %143 = load ptr, ptr %anatomy.i, align 8
  %tobool7.not.i = icmp eq ptr %143, null
  br i1 %tobool7.not.i, label %if.end14.i, label %if.then8.i

if.then8.i:
  %144 = load ptr, ptr %call.i, align 8
  %undefined.i = getelementptr inbounds %struct.Anatomy, ptr %143, i64 0, i32 12
  %145 = load ptr, ptr %undefined.i, align 8
  %cmp.i100 = icmp eq ptr %144, %145
  br i1 %cmp.i100, label %gradient.exit.thread, label %gradient.exit.thread136

if.end14.i:
  %is_defined.i = getelementptr inbounds %struct.Torch, ptr %137, i64 0, i32 1
  %146 = load ptr, ptr %is_defined.i, align 8
  %call15.i = call i32 %146(ptr noundef %call.i, ptr noundef nonnull %defined.i)
  %tobool16.i = icmp eq i32 %call15.i, 0
  %147 = load i8, ptr %defined.i, align 1
  %tobool17.i = icmp ne i8 %147, 0
  %or.cond.i = select i1 %tobool16.i, i1 %tobool17.i, i1 false
  br i1 %or.cond.i, label %gradient.exit, label %gradient.exit.thread

gradient.exit.thread:
  br label %if.end20

gradient.exit.thread136:
  br label %cleanup29

gradient.exit:
  %tobool18.not = icmp eq ptr %call.i, null
  br i1 %tobool18.not, label %if.end20, label %cleanup29

if.end20:
  %inc25 = add nuw nsw i64 %i8.0172, 1
  %148 = load i64, ptr %n_absent, align 8
  %cmp10.not = icmp slt i64 %inc25, %148
  br i1 %cmp10.not, label %for.body12, label %for.end28

for.end28:
  %lines = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 11
  store i64 %line.0.lcssa, ptr %lines, align 8
  %fresh = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 13
  store i64 0, ptr %fresh, align 8
  br label %cleanup29

cleanup29:
  %retval.6 = phi i64 [ %found.0.lcssa, %for.end28 ], [ -1, %gradient.exit.thread136 ], [ -1, %look_at.exit.thread ], [ -1, %gradient.exit ], [ -1, %held.exit ]
  ret i64 %retval.6
}

define i32 @measure(ptr noundef %table) nounwind "no-builtins" {
entry:
  %0 = load ptr, ptr %table, align 8
  %1 = load ptr, ptr %0, align 8
  %lines = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 11
  %2 = load i64, ptr %lines, align 8
  %sub.i = add nsw i64 %2, 63
  %div.i = sdiv i64 %sub.i, 64
  %grain = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 12
  %3 = load i64, ptr %grain, align 8
  %sub.i6 = add nsw i64 %3, 63
  %div.i7 = sdiv i64 %sub.i6, 64
  %call2 = tail call i32 %1(i64 noundef 0, i64 noundef %div.i, i64 noundef %div.i7, ptr noundef nonnull @measure_blocks, ptr noundef nonnull %table)
  ret i32 %call2
}

define internal void @measure_blocks(i64 noundef %begin, i64 noundef %end, ptr noundef readonly %context) nounwind "no-builtins" {
entry:
  %cmp7 = icmp slt i64 %begin, %end
  br i1 %cmp7, label %for.body.lr.ph, label %for.cond.cleanup

for.body.lr.ph:
  %n_segments.i = getelementptr inbounds %struct.Table, ptr %context, i64 0, i32 3
  %segments.i = getelementptr inbounds %struct.Table, ptr %context, i64 0, i32 2
  %sums = getelementptr inbounds %struct.Table, ptr %context, i64 0, i32 9
  %.pre = load i64, ptr %n_segments.i, align 8
  br label %for.body

for.cond.cleanup:
  ret void

for.body:
  %0 = phi i64 [ %.pre, %for.body.lr.ph ], [ %17, %walk.exit ]
  %1 = phi i64 [ %.pre, %for.body.lr.ph ], [ %18, %walk.exit ]
  %block.08 = phi i64 [ %begin, %for.body.lr.ph ], [ %add, %walk.exit ]
  %mul = shl nsw i64 %block.08, 6
  %add = add i64 %block.08, 1
  %mul1 = shl nsw i64 %add, 6
  %cmp89.i = icmp sgt i64 %1, 1
  br i1 %cmp89.i, label %while.body.lr.ph.i, label %for.cond.preheader.i

while.body.lr.ph.i:
  %2 = load ptr, ptr %segments.i, align 8
  br label %while.body.i

for.cond.preheader.i:
  %low.0.lcssa.i = phi i64 [ 0, %for.body ], [ %low.0.div.i, %while.body.i ]
  %cmp392.i = icmp slt i64 %low.0.lcssa.i, %1
  br i1 %cmp392.i, label %for.body.i.preheader, label %walk.exit

for.body.i.preheader:
  %3 = load ptr, ptr %segments.i, align 8
  %first_line6.i12 = getelementptr inbounds %struct.Segment, ptr %3, i64 %low.0.lcssa.i, i32 22
  %4 = load i64, ptr %first_line6.i12, align 8
  %cmp7.not.i13 = icmp slt i64 %4, %mul1
  br i1 %cmp7.not.i13, label %if.end9.i, label %walk.exit

while.body.i:
  %low.091.i = phi i64 [ 0, %while.body.lr.ph.i ], [ %low.0.div.i, %while.body.i ]
  %high.090.i = phi i64 [ %1, %while.body.lr.ph.i ], [ %div.high.0.i, %while.body.i ]
  %add.i = add nsw i64 %high.090.i, %low.091.i
  %div.i = sdiv i64 %add.i, 2
  %first_line.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %div.i, i32 22
  %5 = load i64, ptr %first_line.i, align 8
  %cmp1.not.i = icmp sgt i64 %5, %mul
  %div.high.0.i = select i1 %cmp1.not.i, i64 %div.i, i64 %high.090.i
  %low.0.div.i = select i1 %cmp1.not.i, i64 %low.091.i, i64 %div.i
  %sub.i = sub nsw i64 %div.high.0.i, %low.0.div.i
  %cmp.i = icmp sgt i64 %sub.i, 1
  br i1 %cmp.i, label %while.body.i, label %for.cond.preheader.i

for.body.i:
  %6 = load ptr, ptr %segments.i, align 8
  %first_line6.i = getelementptr inbounds %struct.Segment, ptr %6, i64 %inc.i, i32 22
  %7 = load i64, ptr %first_line6.i, align 8
  %cmp7.not.i = icmp slt i64 %7, %mul1
  br i1 %cmp7.not.i, label %if.end9.i, label %walk.exit

if.end9.i:
  %8 = phi i64 [ %7, %for.body.i ], [ %4, %for.body.i.preheader ]
  %9 = phi ptr [ %6, %for.body.i ], [ %3, %for.body.i.preheader ]
  %i.093.i15 = phi i64 [ %inc.i, %for.body.i ], [ %low.0.lcssa.i, %for.body.i.preheader ]
  %total.094.i14 = phi double [ %total.3.ph.i, %for.body.i ], [ 0.000000e+00, %for.body.i.preheader ]
  %10 = phi i64 [ %16, %for.body.i ], [ %0, %for.body.i.preheader ]
  %present.i = getelementptr inbounds %struct.Segment, ptr %9, i64 %i.093.i15, i32 14
  %11 = load ptr, ptr %present.i, align 8
  %12 = load i64, ptr %11, align 8
  %tobool.not.i = icmp eq i64 %12, 0
  br i1 %tobool.not.i, label %for.inc.i, label %if.end11.i

if.end11.i:
  %sub13.i = sub nsw i64 %mul, %8
  %sub15.i = sub nsw i64 %mul1, %8
  %mul.i = shl nsw i64 %sub13.i, 6
  %mul16.i = shl nsw i64 %sub15.i, 6
  %spec.store.select.i = tail call i64 @llvm.smax.i64(i64 %mul.i, i64 0)
  %numel.i = getelementptr inbounds %struct.Segment, ptr %9, i64 %i.093.i15, i32 15
  %13 = load i64, ptr %numel.i, align 8
  %spec.select.i = tail call i64 @llvm.smin.i64(i64 %mul16.i, i64 %13)
  %cmp24.not.i = icmp slt i64 %spec.store.select.i, %spec.select.i
  br i1 %cmp24.not.i, label %if.end26.i, label %for.inc.i

if.end26.i:
  %square.i = getelementptr inbounds %struct.Segment, ptr %9, i64 %i.093.i15, i32 10
  %14 = load ptr, ptr %square.i, align 8
  %arrays.i = getelementptr inbounds %struct.Segment, ptr %9, i64 %i.093.i15, i32 12
  %15 = load ptr, ptr %arrays.i, align 8
  %call.i = tail call double %14(ptr noundef %15, i64 noundef %spec.store.select.i, i64 noundef %spec.select.i)
  %add29.i = fadd double %total.094.i14, %call.i
  %.pre9 = load i64, ptr %n_segments.i, align 8
  br label %for.inc.i

for.inc.i:
  %16 = phi i64 [ %.pre9, %if.end26.i ], [ %10, %if.end11.i ], [ %10, %if.end9.i ]
  %total.3.ph.i = phi double [ %add29.i, %if.end26.i ], [ %total.094.i14, %if.end11.i ], [ %total.094.i14, %if.end9.i ]
  %inc.i = add nsw i64 %i.093.i15, 1
  %cmp3.i = icmp slt i64 %inc.i, %16
  br i1 %cmp3.i, label %for.body.i, label %walk.exit

walk.exit:
  %17 = phi i64 [ %0, %for.cond.preheader.i ], [ %0, %for.body.i.preheader ], [ %16, %for.body.i ], [ %16, %for.inc.i ]
  %18 = phi i64 [ %1, %for.cond.preheader.i ], [ %1, %for.body.i.preheader ], [ %16, %for.body.i ], [ %16, %for.inc.i ]
  %total.0.lcssa.i = phi double [ 0.000000e+00, %for.cond.preheader.i ], [ 0.000000e+00, %for.body.i.preheader ], [ %total.3.ph.i, %for.body.i ], [ %total.3.ph.i, %for.inc.i ]
  %19 = load ptr, ptr %sums, align 8
  %arrayidx = getelementptr inbounds double, ptr %19, i64 %block.08
  store double %total.0.lcssa.i, ptr %arrayidx, align 8
  %exitcond.not = icmp eq i64 %add, %end
  br i1 %exitcond.not, label %for.cond.cleanup, label %for.body
}

define i32 @run(ptr noundef %table) nounwind "no-builtins" {
entry:
  %0 = load ptr, ptr %table, align 8
  %n_segments.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 3
  %bump_version.i = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 12
  %1 = load ptr, ptr %bump_version.i, align 8
  %tobool.not30.i = icmp eq ptr %1, null
  br i1 %tobool.not30.i, label %tell.exit, label %land.rhs.lr.ph.i

land.rhs.lr.ph.i:
  %segments.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 2
  br label %land.rhs.i

land.rhs.i:
  %2 = phi ptr [ %1, %land.rhs.lr.ph.i ], [ %13, %cleanup.i ]
  %i.031.i = phi i64 [ 0, %land.rhs.lr.ph.i ], [ %inc13.i, %cleanup.i ]
  %3 = load i64, ptr %n_segments.i, align 8
  %cmp.i = icmp slt i64 %i.031.i, %3
  br i1 %cmp.i, label %for.body.i, label %tell.exit

for.body.i:
  %4 = load ptr, ptr %segments.i, align 8
  %present.i = getelementptr inbounds %struct.Segment, ptr %4, i64 %i.031.i, i32 14
  %5 = load ptr, ptr %present.i, align 8
  %6 = load i64, ptr %5, align 8
  %tobool2.not.i = icmp eq i64 %6, 0
  br i1 %tobool2.not.i, label %cleanup.i, label %if.end.i

if.end.i:
  %looks.i = getelementptr inbounds %struct.Segment, ptr %4, i64 %i.031.i, i32 11
  %7 = load ptr, ptr %looks.i, align 8
  tail call void %2(ptr noundef %7)
  %states.i = getelementptr inbounds %struct.Segment, ptr %4, i64 %i.031.i, i32 20
  %8 = load i64, ptr %states.i, align 8
  %cmp528.i = icmp sgt i64 %8, 0
  br i1 %cmp528.i, label %for.body7.lr.ph.i, label %cleanup.i

for.body7.lr.ph.i:
  %copied.i = getelementptr inbounds %struct.Segment, ptr %4, i64 %i.031.i, i32 19
  br label %for.body7.i

for.body7.i:
  %k.029.i = phi i64 [ 0, %for.body7.lr.ph.i ], [ %inc.i, %for.body7.i ]
  %9 = load ptr, ptr %bump_version.i, align 8
  %10 = load ptr, ptr %looks.i, align 8
  %add.ptr.i = getelementptr inbounds %struct.Look, ptr %10, i64 1
  %11 = load i64, ptr %copied.i, align 8
  %add.ptr10.i = getelementptr inbounds %struct.Look, ptr %add.ptr.i, i64 %11
  %add.ptr11.i = getelementptr inbounds %struct.Look, ptr %add.ptr10.i, i64 %k.029.i
  tail call void %9(ptr noundef nonnull %add.ptr11.i)
  %inc.i = add nuw nsw i64 %k.029.i, 1
  %12 = load i64, ptr %states.i, align 8
  %cmp5.i = icmp slt i64 %inc.i, %12
  br i1 %cmp5.i, label %for.body7.i, label %cleanup.i

cleanup.i:
  %inc13.i = add nuw nsw i64 %i.031.i, 1
  %13 = load ptr, ptr %bump_version.i, align 8
  %tobool.not.i = icmp eq ptr %13, null
  br i1 %tobool.not.i, label %tell.exit, label %land.rhs.i

tell.exit:
  %stage = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 10
  store i64 0, ptr %stage, align 8
  %segments.i22 = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 2
  %lines = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 11
  %grain = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 12
  br label %for.body

for.body:
  %storemerge30 = phi i64 [ 0, %tell.exit ], [ %inc, %for.inc ]
  %14 = load i64, ptr %n_segments.i, align 8
  %cmp22.i = icmp sgt i64 %14, 0
  br i1 %cmp22.i, label %for.body.i23, label %begin_all.exit

for.cond.cleanup.loopexit.i:
  %15 = and i8 %more.2.i, 1
  %16 = icmp ne i8 %15, 0
  br label %begin_all.exit

for.body.i23:
  %17 = phi i64 [ %26, %cleanup.i24 ], [ %14, %for.body ]
  %18 = phi i64 [ %27, %cleanup.i24 ], [ %storemerge30, %for.body ]
  %more.024.i = phi i8 [ %more.2.i, %cleanup.i24 ], [ 0, %for.body ]
  %i.023.i = phi i64 [ %inc.i25, %cleanup.i24 ], [ 0, %for.body ]
  %19 = load ptr, ptr %segments.i22, align 8
  %arrayidx.i = getelementptr inbounds %struct.Segment, ptr %19, i64 %i.023.i
  %n_stages.i = getelementptr inbounds %struct.Segment, ptr %19, i64 %i.023.i, i32 2
  %20 = load i64, ptr %n_stages.i, align 8
  %cmp1.not.i = icmp slt i64 %18, %20
  br i1 %cmp1.not.i, label %lor.lhs.false.i, label %cleanup.i24

lor.lhs.false.i:
  %numel.i.i = getelementptr inbounds %struct.Segment, ptr %19, i64 %i.023.i, i32 15
  %21 = load i64, ptr %numel.i.i, align 8
  %tobool.not.i.i = icmp ne i64 %21, 0
  %cmp.i.i = icmp slt i64 %21, 65537
  %spec.select.i.i = and i1 %tobool.not.i.i, %cmp.i.i
  br i1 %spec.select.i.i, label %cleanup.i24, label %lor.lhs.false2.i

lor.lhs.false2.i:
  %present.i27 = getelementptr inbounds %struct.Segment, ptr %19, i64 %i.023.i, i32 14
  %22 = load ptr, ptr %present.i27, align 8
  %23 = load i64, ptr %22, align 8
  %tobool.not.i28 = icmp eq i64 %23, 0
  br i1 %tobool.not.i28, label %cleanup.i24, label %if.end.i29

if.end.i29:
  tail call fastcc void @begin_stage(ptr noundef nonnull %arrayidx.i, i64 noundef %18)
  %24 = load i64, ptr %stage, align 8
  %add.i = add nsw i64 %24, 1
  %25 = load i64, ptr %n_stages.i, align 8
  %cmp6.i = icmp slt i64 %add.i, %25
  %spec.select.i = select i1 %cmp6.i, i8 1, i8 %more.024.i
  %.pre25.i = load i64, ptr %n_segments.i, align 8
  br label %cleanup.i24

cleanup.i24:
  %26 = phi i64 [ %.pre25.i, %if.end.i29 ], [ %17, %lor.lhs.false2.i ], [ %17, %lor.lhs.false.i ], [ %17, %for.body.i23 ]
  %27 = phi i64 [ %24, %if.end.i29 ], [ %18, %lor.lhs.false2.i ], [ %18, %lor.lhs.false.i ], [ %18, %for.body.i23 ]
  %more.2.i = phi i8 [ %spec.select.i, %if.end.i29 ], [ %more.024.i, %lor.lhs.false2.i ], [ %more.024.i, %lor.lhs.false.i ], [ %more.024.i, %for.body.i23 ]
  %inc.i25 = add nuw nsw i64 %i.023.i, 1
  %cmp.i26 = icmp slt i64 %inc.i25, %26
  br i1 %cmp.i26, label %for.body.i23, label %for.cond.cleanup.loopexit.i

begin_all.exit:
  %28 = phi i64 [ %storemerge30, %for.body ], [ %27, %for.cond.cleanup.loopexit.i ]
  %more.0.lcssa.i = phi i1 [ false, %for.body ], [ %16, %for.cond.cleanup.loopexit.i ]
  %tobool2.not = icmp eq i64 %28, 0
  %brmerge = select i1 %tobool2.not, i1 true, i1 %more.0.lcssa.i
  br i1 %brmerge, label %if.end, label %for.end

if.end:
  %29 = load ptr, ptr %table, align 8
  %30 = load ptr, ptr %29, align 8
  %31 = load i64, ptr %lines, align 8
  %32 = load i64, ptr %grain, align 8
  %call4 = tail call i32 %30(i64 noundef 0, i64 noundef %31, i64 noundef %32, ptr noundef nonnull @update_lines, ptr noundef nonnull %table)
  %tobool5.not = icmp eq i32 %call4, 0
  br i1 %tobool5.not, label %for.inc, label %cleanup9

for.inc:
  %33 = load i64, ptr %stage, align 8
  %inc = add nsw i64 %33, 1
  store i64 %inc, ptr %stage, align 8
  br i1 %more.0.lcssa.i, label %for.body, label %for.end

for.end:
  tail call fastcc void @count(ptr noundef nonnull %table)
  br label %cleanup9

cleanup9:
  %retval.2 = phi i32 [ 0, %for.end ], [ %call4, %if.end ]
  ret i32 %retval.2
}

define internal void @update_lines(i64 noundef %begin, i64 noundef %end, ptr noundef readonly %table) nounwind "no-builtins" {
entry:
  %n_segments.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 3
  %0 = load i64, ptr %n_segments.i, align 8
  %cmp89.i = icmp sgt i64 %0, 1
  br i1 %cmp89.i, label %while.body.lr.ph.i, label %for.cond.preheader.i

while.body.lr.ph.i:
  %segments.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 2
  %1 = load ptr, ptr %segments.i, align 8
  br label %while.body.i

for.cond.preheader.i:
  %low.0.lcssa.i = phi i64 [ 0, %entry ], [ %low.0.div.i, %while.body.i ]
  %segments4.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 2
  %cmp392.i = icmp slt i64 %low.0.lcssa.i, %0
  br i1 %cmp392.i, label %for.body.lr.ph.i, label %walk.exit

for.body.lr.ph.i:
  %stage.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 10
  br label %for.body.i

while.body.i:
  %low.091.i = phi i64 [ 0, %while.body.lr.ph.i ], [ %low.0.div.i, %while.body.i ]
  %high.090.i = phi i64 [ %0, %while.body.lr.ph.i ], [ %div.high.0.i, %while.body.i ]
  %add.i = add nsw i64 %high.090.i, %low.091.i
  %div.i = sdiv i64 %add.i, 2
  %first_line.i = getelementptr inbounds %struct.Segment, ptr %1, i64 %div.i, i32 22
  %2 = load i64, ptr %first_line.i, align 8
  %cmp1.not.i = icmp sgt i64 %2, %begin
  %div.high.0.i = select i1 %cmp1.not.i, i64 %div.i, i64 %high.090.i
  %low.0.div.i = select i1 %cmp1.not.i, i64 %low.091.i, i64 %div.i
  %sub.i = sub nsw i64 %div.high.0.i, %low.0.div.i
  %cmp.i = icmp sgt i64 %sub.i, 1
  br i1 %cmp.i, label %while.body.i, label %for.cond.preheader.i

for.body.i:
  %i.093.i = phi i64 [ %low.0.lcssa.i, %for.body.lr.ph.i ], [ %inc.i, %for.inc.i ]
  %3 = load ptr, ptr %segments4.i, align 8
  %arrayidx5.i = getelementptr inbounds %struct.Segment, ptr %3, i64 %i.093.i
  %first_line6.i = getelementptr inbounds %struct.Segment, ptr %3, i64 %i.093.i, i32 22
  %4 = load i64, ptr %first_line6.i, align 8
  %cmp7.not.i = icmp slt i64 %4, %end
  br i1 %cmp7.not.i, label %if.end9.i, label %walk.exit

if.end9.i:
  %present.i = getelementptr inbounds %struct.Segment, ptr %3, i64 %i.093.i, i32 14
  %5 = load ptr, ptr %present.i, align 8
  %6 = load i64, ptr %5, align 8
  %tobool.not.i = icmp eq i64 %6, 0
  br i1 %tobool.not.i, label %for.inc.i, label %if.end11.i

if.end11.i:
  %sub13.i = sub nsw i64 %begin, %4
  %sub15.i = sub nsw i64 %end, %4
  %mul.i = shl nsw i64 %sub13.i, 6
  %mul16.i = shl nsw i64 %sub15.i, 6
  %spec.store.select.i = tail call i64 @llvm.smax.i64(i64 %mul.i, i64 0)
  %numel.i = getelementptr inbounds %struct.Segment, ptr %3, i64 %i.093.i, i32 15
  %7 = load i64, ptr %numel.i, align 8
  %spec.select.i = tail call i64 @llvm.smin.i64(i64 %mul16.i, i64 %7)
  %cmp24.not.i = icmp slt i64 %spec.store.select.i, %spec.select.i
  br i1 %cmp24.not.i, label %if.end26.i, label %for.inc.i

if.end26.i:
  %n_stages.i = getelementptr inbounds %struct.Segment, ptr %3, i64 %i.093.i, i32 2
  %8 = load i64, ptr %n_stages.i, align 8
  %tobool31.not.i = icmp eq i64 %8, 0
  %9 = load i64, ptr %stage.i, align 8
  br i1 %tobool31.not.i, label %if.else33.i, label %if.then32.i

if.then32.i:
  %spec.select.i.i.i = tail call i64 @llvm.smin.i64(i64 %spec.store.select.i, i64 %7)
  %block.i.i.i = getelementptr inbounds %struct.Segment, ptr %3, i64 %i.093.i, i32 3
  %10 = load i64, ptr %block.i.i.i, align 8
  %add.i.i.i = add i64 %10, -1
  %sub.i.i.i = add i64 %add.i.i.i, %spec.select.i.i.i
  %div.i.i.i = sdiv i64 %sub.i.i.i, %10
  %spec.store.select.i35.i.i = tail call i64 @llvm.smax.i64(i64 %mul16.i, i64 0)
  %spec.select.i37.i.i = tail call i64 @llvm.smin.i64(i64 %spec.store.select.i35.i.i, i64 %7)
  %sub.i40.i.i = add i64 %add.i.i.i, %spec.select.i37.i.i
  %div.i41.i.i = sdiv i64 %sub.i40.i.i, %10
  %tobool.not.i.i.i = icmp ne i64 %7, 0
  %cmp.i.i.i = icmp slt i64 %7, 65537
  %spec.select.i43.i.i = and i1 %tobool.not.i.i.i, %cmp.i.i.i
  br i1 %spec.select.i43.i.i, label %if.else.i.i, label %if.then.i.i

if.then.i.i:
  %add.i.i = add nsw i64 %9, 1
  %cmp.i.i = icmp slt i64 %add.i.i, %8
  br i1 %cmp.i.i, label %if.then3.i.i, label %for.inc.i

if.then3.i.i:
  %stages.i.i.i = getelementptr inbounds %struct.Segment, ptr %3, i64 %i.093.i, i32 1
  %11 = load ptr, ptr %stages.i.i.i, align 8
  %sums.i.i.i.i = getelementptr inbounds %struct.Stage, ptr %11, i64 %9, i32 2
  %12 = load i64, ptr %sums.i.i.i.i, align 8
  %columns.i.i.i.i = getelementptr inbounds %struct.Stage, ptr %11, i64 %9, i32 4
  %13 = load i64, ptr %columns.i.i.i.i, align 8
  %width.i.i.i.i = getelementptr inbounds %struct.Segment, ptr %3, i64 %i.093.i, i32 4
  %14 = load i64, ptr %width.i.i.i.i, align 8
  %mul.i.i.i.i = mul i64 %14, %13
  %add.i.i.i.i = add nsw i64 %mul.i.i.i.i, %12
  %cmp36.i.i.i = icmp slt i64 %div.i.i.i, %div.i41.i.i
  br i1 %cmp36.i.i.i, label %for.body.lr.ph.i.i.i, label %for.inc.i

for.body.lr.ph.i.i.i:
  %partial.i.i.i = getelementptr inbounds %struct.Segment, ptr %3, i64 %i.093.i, i32 7
  %sweep.i.i.i = getelementptr inbounds %struct.Stage, ptr %11, i64 %9, i32 1
  %arrays.i.i.i = getelementptr inbounds %struct.Segment, ptr %3, i64 %i.093.i, i32 12
  %own.i.i.i = getelementptr inbounds %struct.Segment, ptr %3, i64 %i.093.i, i32 6
  %15 = add i64 %12, %mul.i.i.i.i
  br label %for.body.i.i.i

for.body.i.i.i:
  %block.037.i.i.i = phi i64 [ %div.i.i.i, %for.body.lr.ph.i.i.i ], [ %inc13.i.i.i, %for.cond.cleanup9.i.i.i ]
  %16 = load i64, ptr %block.i.i.i, align 8
  %mul.i45.i.i = mul nsw i64 %16, %block.037.i.i.i
  %add.i46.i.i = add nsw i64 %mul.i45.i.i, %16
  %17 = load i64, ptr %numel.i, align 8
  %spec.select.i47.i.i = tail call i64 @llvm.smin.i64(i64 %add.i46.i.i, i64 %17)
  %18 = load ptr, ptr %partial.i.i.i, align 8
  %mul5.i.i.i = mul nsw i64 %block.037.i.i.i, %add.i.i.i.i
  %add.ptr.i.i.i = getelementptr inbounds double, ptr %18, i64 %mul5.i.i.i
  %19 = load i64, ptr %sums.i.i.i.i, align 8
  %cmp834.i.i.i = icmp slt i64 %19, %add.i.i.i.i
  br i1 %cmp834.i.i.i, label %for.body10.i.i.i.preheader, label %for.cond.cleanup9.i.i.i

for.body10.i.i.i.preheader:
  %20 = sub i64 %15, %19
  %min.iters.check7 = icmp ult i64 %20, 4
  br i1 %min.iters.check7, label %for.body10.i.i.i.preheader19, label %vector.ph8

vector.ph8:
  %n.vec10 = and i64 %20, -4
  %ind.end11 = add i64 %19, %n.vec10
  %21 = getelementptr double, ptr %add.ptr.i.i.i, i64 %19
  br label %vector.body14

vector.body14:
  %index15 = phi i64 [ 0, %vector.ph8 ], [ %index.next17, %vector.body14 ]
  %22 = getelementptr double, ptr %21, i64 %index15
  %23 = getelementptr inbounds double, ptr %22, i64 2
  store <2 x double> zeroinitializer, ptr %22, align 8
  store <2 x double> zeroinitializer, ptr %23, align 8
  %index.next17 = add nuw i64 %index15, 4
  %24 = icmp eq i64 %index.next17, %n.vec10
  br i1 %24, label %middle.block5, label %vector.body14

middle.block5:
  %cmp.n13 = icmp eq i64 %20, %n.vec10
  br i1 %cmp.n13, label %for.cond.cleanup9.i.i.i, label %for.body10.i.i.i.preheader19

for.body10.i.i.i.preheader19:
  %i.035.i.i.i.ph = phi i64 [ %19, %for.body10.i.i.i.preheader ], [ %ind.end11, %middle.block5 ]
  br label %for.body10.i.i.i

for.cond.cleanup9.i.i.i:
  %25 = load ptr, ptr %sweep.i.i.i, align 8
  %26 = load ptr, ptr %arrays.i.i.i, align 8
  %27 = load ptr, ptr %own.i.i.i, align 8
  tail call void %25(ptr noundef %26, ptr noundef %27, i64 noundef %mul.i45.i.i, i64 noundef %spec.select.i47.i.i, ptr noundef %add.ptr.i.i.i)
  %inc13.i.i.i = add i64 %block.037.i.i.i, 1
  %exitcond.not.i.i.i = icmp eq i64 %inc13.i.i.i, %div.i41.i.i
  br i1 %exitcond.not.i.i.i, label %for.inc.i, label %for.body.i.i.i

for.body10.i.i.i:
  %i.035.i.i.i = phi i64 [ %inc.i.i.i, %for.body10.i.i.i ], [ %i.035.i.i.i.ph, %for.body10.i.i.i.preheader19 ]
  %arrayidx11.i.i.i = getelementptr inbounds double, ptr %add.ptr.i.i.i, i64 %i.035.i.i.i
  store double 0.000000e+00, ptr %arrayidx11.i.i.i, align 8
  %inc.i.i.i = add nsw i64 %i.035.i.i.i, 1
  %cmp8.i.i.i = icmp slt i64 %inc.i.i.i, %add.i.i.i.i
  br i1 %cmp8.i.i.i, label %for.body10.i.i.i, label %for.cond.cleanup9.i.i.i

if.else.i.i:
  %tobool.i.i = icmp eq i64 %9, 0
  %cmp4.i.i = icmp slt i64 %sub13.i, 1
  %or.cond.i.i = and i1 %cmp4.i.i, %tobool.i.i
  br i1 %or.cond.i.i, label %if.then5.i.i, label %for.inc.i

if.then5.i.i:
  %sub.i49.i.i = add nsw i64 %7, 63
  %div.i50.i.i = sdiv i64 %sub.i49.i.i, 64
  %mul.i51.i.i = shl nsw i64 %div.i50.i.i, 6
  %spec.store.select.i52.i.i = tail call i64 @llvm.smax.i64(i64 %mul.i51.i.i, i64 0)
  %spec.select.i54.i.i = tail call i64 @llvm.smin.i64(i64 %spec.store.select.i52.i.i, i64 %7)
  %sub.i57.i.i = add i64 %add.i.i.i, %spec.select.i54.i.i
  %div.i58.i.i = sdiv i64 %sub.i57.i.i, %10
  %cmp991.i.i = icmp sgt i64 %8, 0
  br i1 %cmp991.i.i, label %for.body.lr.ph.i.i, label %for.inc.i

for.body.lr.ph.i.i:
  %stages.i59.i.i = getelementptr inbounds %struct.Segment, ptr %3, i64 %i.093.i, i32 1
  %width.i.i62.i.i = getelementptr inbounds %struct.Segment, ptr %3, i64 %i.093.i, i32 4
  %cmp36.i65.i.i = icmp sgt i64 %div.i58.i.i, 0
  %partial.i69.i.i = getelementptr inbounds %struct.Segment, ptr %3, i64 %i.093.i, i32 7
  %arrays.i71.i.i = getelementptr inbounds %struct.Segment, ptr %3, i64 %i.093.i, i32 12
  %own.i72.i.i = getelementptr inbounds %struct.Segment, ptr %3, i64 %i.093.i, i32 6
  br label %for.body.i.i

for.body.i.i:
  %k.092.i.i = phi i64 [ 0, %for.body.lr.ph.i.i ], [ %add10.i.i, %for.inc.i.i ]
  tail call fastcc void @begin_stage(ptr noundef nonnull %arrayidx5.i, i64 noundef %k.092.i.i)
  %add10.i.i = add nuw nsw i64 %k.092.i.i, 1
  %28 = load i64, ptr %n_stages.i, align 8
  %cmp12.i.i = icmp slt i64 %add10.i.i, %28
  br i1 %cmp12.i.i, label %if.then13.i.i, label %for.inc.i.i

if.then13.i.i:
  %29 = load ptr, ptr %stages.i59.i.i, align 8
  %sums.i.i60.i.i = getelementptr inbounds %struct.Stage, ptr %29, i64 %k.092.i.i, i32 2
  %30 = load i64, ptr %sums.i.i60.i.i, align 8
  %columns.i.i61.i.i = getelementptr inbounds %struct.Stage, ptr %29, i64 %k.092.i.i, i32 4
  %31 = load i64, ptr %columns.i.i61.i.i, align 8
  %32 = load i64, ptr %width.i.i62.i.i, align 8
  %mul.i.i63.i.i = mul i64 %32, %31
  %add.i.i64.i.i = add nsw i64 %mul.i.i63.i.i, %30
  br i1 %cmp36.i65.i.i, label %for.body.lr.ph.i66.i.i, label %for.inc.i.i

for.body.lr.ph.i66.i.i:
  %sweep.i70.i.i = getelementptr inbounds %struct.Stage, ptr %29, i64 %k.092.i.i, i32 1
  %33 = add i64 %30, %mul.i.i63.i.i
  br label %for.body.i73.i.i

for.body.i73.i.i:
  %block.037.i74.i.i = phi i64 [ 0, %for.body.lr.ph.i66.i.i ], [ %inc13.i82.i.i, %for.cond.cleanup9.i81.i.i ]
  %34 = load i64, ptr %block.i.i.i, align 8
  %mul.i75.i.i = mul nsw i64 %34, %block.037.i74.i.i
  %add.i76.i.i = add nsw i64 %mul.i75.i.i, %34
  %35 = load i64, ptr %numel.i, align 8
  %spec.select.i77.i.i = tail call i64 @llvm.smin.i64(i64 %add.i76.i.i, i64 %35)
  %36 = load ptr, ptr %partial.i69.i.i, align 8
  %mul5.i78.i.i = mul nsw i64 %block.037.i74.i.i, %add.i.i64.i.i
  %add.ptr.i79.i.i = getelementptr inbounds double, ptr %36, i64 %mul5.i78.i.i
  %37 = load i64, ptr %sums.i.i60.i.i, align 8
  %cmp834.i80.i.i = icmp slt i64 %37, %add.i.i64.i.i
  br i1 %cmp834.i80.i.i, label %for.body10.i84.i.i.preheader, label %for.cond.cleanup9.i81.i.i

for.body10.i84.i.i.preheader:
  %38 = sub i64 %33, %37
  %min.iters.check = icmp ult i64 %38, 4
  br i1 %min.iters.check, label %for.body10.i84.i.i.preheader18, label %vector.ph

vector.ph:
  %n.vec = and i64 %38, -4
  %ind.end = add i64 %37, %n.vec
  %39 = getelementptr double, ptr %add.ptr.i79.i.i, i64 %37
  br label %vector.body

vector.body:
  %index = phi i64 [ 0, %vector.ph ], [ %index.next, %vector.body ]
  %40 = getelementptr double, ptr %39, i64 %index
  %41 = getelementptr inbounds double, ptr %40, i64 2
  store <2 x double> zeroinitializer, ptr %40, align 8
  store <2 x double> zeroinitializer, ptr %41, align 8
  %index.next = add nuw i64 %index, 4
  %42 = icmp eq i64 %index.next, %n.vec
  br i1 %42, label %middle.block, label %vector.body

middle.block:
  %cmp.n = icmp eq i64 %38, %n.vec
  br i1 %cmp.n, label %for.cond.cleanup9.i81.i.i, label %for.body10.i84.i.i.preheader18

for.body10.i84.i.i.preheader18:
  %i.035.i85.i.i.ph = phi i64 [ %37, %for.body10.i84.i.i.preheader ], [ %ind.end, %middle.block ]
  br label %for.body10.i84.i.i

for.cond.cleanup9.i81.i.i:
  %43 = load ptr, ptr %sweep.i70.i.i, align 8
  %44 = load ptr, ptr %arrays.i71.i.i, align 8
  %45 = load ptr, ptr %own.i72.i.i, align 8
  tail call void %43(ptr noundef %44, ptr noundef %45, i64 noundef %mul.i75.i.i, i64 noundef %spec.select.i77.i.i, ptr noundef %add.ptr.i79.i.i)
  %inc13.i82.i.i = add nuw nsw i64 %block.037.i74.i.i, 1
  %exitcond.not.i83.i.i = icmp eq i64 %inc13.i82.i.i, %div.i58.i.i
  br i1 %exitcond.not.i83.i.i, label %for.inc.loopexit.i.i, label %for.body.i73.i.i

for.body10.i84.i.i:
  %i.035.i85.i.i = phi i64 [ %inc.i87.i.i, %for.body10.i84.i.i ], [ %i.035.i85.i.i.ph, %for.body10.i84.i.i.preheader18 ]
  %arrayidx11.i86.i.i = getelementptr inbounds double, ptr %add.ptr.i79.i.i, i64 %i.035.i85.i.i
  store double 0.000000e+00, ptr %arrayidx11.i86.i.i, align 8
  %inc.i87.i.i = add nsw i64 %i.035.i85.i.i, 1
  %cmp8.i88.i.i = icmp slt i64 %inc.i87.i.i, %add.i.i64.i.i
  br i1 %cmp8.i88.i.i, label %for.body10.i84.i.i, label %for.cond.cleanup9.i81.i.i

for.inc.loopexit.i.i:
  %.pre.i.i = load i64, ptr %n_stages.i, align 8
  br label %for.inc.i.i

for.inc.i.i:
  %46 = phi i64 [ %.pre.i.i, %for.inc.loopexit.i.i ], [ %28, %if.then13.i.i ], [ %28, %for.body.i.i ]
  %cmp9.i.i = icmp slt i64 %add10.i.i, %46
  br i1 %cmp9.i.i, label %for.body.i.i, label %for.inc.i

if.else33.i:
  %tobool35.not.i = icmp eq i64 %9, 0
  br i1 %tobool35.not.i, label %if.then36.i, label %for.inc.i

if.then36.i:
  %47 = load ptr, ptr %arrayidx5.i, align 8
  %arrays37.i = getelementptr inbounds %struct.Segment, ptr %3, i64 %i.093.i, i32 12
  %48 = load ptr, ptr %arrays37.i, align 8
  %row.i = getelementptr inbounds %struct.Segment, ptr %3, i64 %i.093.i, i32 8
  %49 = load ptr, ptr %row.i, align 8
  tail call void %47(ptr noundef %48, ptr noundef %49, i64 noundef %spec.store.select.i, i64 noundef %spec.select.i, ptr noundef null)
  br label %for.inc.i

for.inc.i:
  %inc.i = add nsw i64 %i.093.i, 1
  %50 = load i64, ptr %n_segments.i, align 8
  %cmp3.i = icmp slt i64 %inc.i, %50
  br i1 %cmp3.i, label %for.body.i, label %walk.exit

walk.exit:
  ret void
}

define internal fastcc void @count(ptr noundef readonly %table) nounwind "no-builtins" {
entry:
  %n_segments = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 3
  %0 = load i64, ptr %n_segments, align 8
  %cmp62 = icmp sgt i64 %0, 0
  br i1 %cmp62, label %for.body.lr.ph, label %for.cond.cleanup

for.body.lr.ph:
  %segments = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 2
  %1 = load ptr, ptr %segments, align 8
  br label %for.body

for.cond.cleanup:
  ret void

for.body:
  %i.063 = phi i64 [ 0, %for.body.lr.ph ], [ %inc26, %cleanup ]
  %present = getelementptr inbounds %struct.Segment, ptr %1, i64 %i.063, i32 14
  %2 = load ptr, ptr %present, align 8
  %3 = load i64, ptr %2, align 8
  %tobool.not = icmp eq i64 %3, 0
  br i1 %tobool.not, label %cleanup, label %if.end

if.end:
  %kept = getelementptr inbounds %struct.Segment, ptr %1, i64 %i.063, i32 21
  %4 = load i64, ptr %kept, align 8
  %cmp458 = icmp sgt i64 %4, 0
  br i1 %cmp458, label %cond.end.peel, label %cleanup

cond.end.peel:
  %looks = getelementptr inbounds %struct.Segment, ptr %1, i64 %i.063, i32 11
  %5 = load ptr, ptr %looks, align 8
  %add.ptr = getelementptr inbounds %struct.Look, ptr %5, i64 1
  %copied = getelementptr inbounds %struct.Segment, ptr %1, i64 %i.063, i32 19
  %6 = load i64, ptr %copied, align 8
  %add.ptr1 = getelementptr inbounds %struct.Look, ptr %add.ptr, i64 %6
  %states = getelementptr inbounds %struct.Segment, ptr %1, i64 %i.063, i32 20
  %7 = load i64, ptr %states, align 8
  %add.ptr2 = getelementptr inbounds %struct.Look, ptr %add.ptr1, i64 %7
  %next = getelementptr inbounds %struct.Segment, ptr %1, i64 %i.063, i32 9
  %values = getelementptr inbounds %struct.Segment, ptr %1, i64 %i.063, i32 13
  %8 = load ptr, ptr %values, align 8
  %9 = load double, ptr %8, align 8
  %add.peel = fadd double %9, 1.000000e+00
  %10 = load ptr, ptr %add.ptr2, align 8
  %tobool10.not.peel = icmp eq ptr %10, null
  br i1 %tobool10.not.peel, label %if.end17.thread55.peel, label %lor.lhs.false.peel

lor.lhs.false.peel:
  %itemsize.i.peel = getelementptr inbounds %struct.Look, ptr %add.ptr1, i64 %7, i32 2, i32 2
  %11 = load i64, ptr %itemsize.i.peel, align 8
  %cmp.i.peel = icmp eq i64 %11, 8
  br i1 %cmp.i.peel, label %if.then22.peel, label %land.lhs.true.peel

land.lhs.true.peel:
  %conv.peel = fptrunc double %add.peel to float
  %address.peel = getelementptr inbounds %struct.Look, ptr %add.ptr1, i64 %7, i32 8
  %12 = load ptr, ptr %address.peel, align 8
  store float %conv.peel, ptr %12, align 4
  %conv14.peel = fpext float %conv.peel to double
  %13 = load ptr, ptr %values, align 8
  store double %conv14.peel, ptr %13, align 8
  br label %if.end24.peel

if.then22.peel:
  %14 = load ptr, ptr %values, align 8
  store double %add.peel, ptr %14, align 8
  %address23.peel = getelementptr inbounds %struct.Look, ptr %add.ptr1, i64 %7, i32 8
  %15 = load ptr, ptr %address23.peel, align 8
  store double %add.peel, ptr %15, align 8
  br label %if.end24.peel

if.end17.thread55.peel:
  %16 = load ptr, ptr %values, align 8
  store double %add.peel, ptr %16, align 8
  br label %if.end24.peel

if.end24.peel:
  %17 = phi ptr [ %16, %if.end17.thread55.peel ], [ %14, %if.then22.peel ], [ %13, %land.lhs.true.peel ]
  %exitcond.peel.not = icmp eq i64 %4, 1
  br i1 %exitcond.peel.not, label %cleanup, label %for.body6.peel.next

for.body6.peel.next:
  %18 = load ptr, ptr %next, align 8
  %invariant.gep = getelementptr double, ptr %18, i64 -1
  br label %cond.end

cond.end:
  %k.060 = phi i64 [ 1, %for.body6.peel.next ], [ %inc, %if.end24 ]
  %add.ptr2.pn = phi ptr [ %add.ptr2, %for.body6.peel.next ], [ %look.059, %if.end24 ]
  %look.059 = getelementptr inbounds %struct.Look, ptr %add.ptr2.pn, i64 1
  %gep = getelementptr double, ptr %invariant.gep, i64 %k.060
  %19 = load double, ptr %gep, align 8
  %20 = load ptr, ptr %look.059, align 8
  %tobool10.not = icmp eq ptr %20, null
  br i1 %tobool10.not, label %if.end17.thread55, label %lor.lhs.false

if.end17.thread55:
  %arrayidx1357 = getelementptr inbounds double, ptr %17, i64 %k.060
  store double %19, ptr %arrayidx1357, align 8
  br label %if.end24

lor.lhs.false:
  %itemsize.i = getelementptr inbounds %struct.Look, ptr %add.ptr2.pn, i64 1, i32 2, i32 2
  %21 = load i64, ptr %itemsize.i, align 8
  %cmp.i = icmp eq i64 %21, 8
  br i1 %cmp.i, label %if.then22, label %land.lhs.true

land.lhs.true:
  %conv = fptrunc double %19 to float
  %address = getelementptr inbounds %struct.Look, ptr %add.ptr2.pn, i64 1, i32 8
  %22 = load ptr, ptr %address, align 8
  store float %conv, ptr %22, align 4
  %conv14 = fpext float %conv to double
  %arrayidx16 = getelementptr inbounds double, ptr %17, i64 %k.060
  store double %conv14, ptr %arrayidx16, align 8
  br label %if.end24

if.then22:
  %arrayidx13 = getelementptr inbounds double, ptr %17, i64 %k.060
  store double %19, ptr %arrayidx13, align 8
  %address23 = getelementptr inbounds %struct.Look, ptr %add.ptr2.pn, i64 1, i32 8
  %23 = load ptr, ptr %address23, align 8
  store double %19, ptr %23, align 8
  br label %if.end24

if.end24:
  %inc = add nuw nsw i64 %k.060, 1
  %exitcond.not = icmp eq i64 %inc, %4
  br i1 %exitcond.not, label %cleanup, label %cond.end

cleanup:
  %inc26 = add nuw nsw i64 %i.063, 1
  %exitcond66.not = icmp eq i64 %inc26, %0
  br i1 %exitcond66.not, label %for.cond.cleanup, label %for.body
}

define void @updated(ptr noundef readonly %table) nounwind "no-builtins" {
entry:
  %0 = load ptr, ptr %table, align 8
  %n_segments.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 3
  %bump_version.i = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 12
  %1 = load ptr, ptr %bump_version.i, align 8
  %tobool.not30.i = icmp eq ptr %1, null
  br i1 %tobool.not30.i, label %tell.exit, label %land.rhs.lr.ph.i

land.rhs.lr.ph.i:
  %segments.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 2
  br label %land.rhs.i

land.rhs.i:
  %2 = phi ptr [ %1, %land.rhs.lr.ph.i ], [ %13, %cleanup.i ]
  %i.031.i = phi i64 [ 0, %land.rhs.lr.ph.i ], [ %inc13.i, %cleanup.i ]
  %3 = load i64, ptr %n_segments.i, align 8
  %cmp.i = icmp slt i64 %i.031.i, %3
  br i1 %cmp.i, label %for.body.i, label %tell.exit

for.body.i:
  %4 = load ptr, ptr %segments.i, align 8
  %present.i = getelementptr inbounds %struct.Segment, ptr %4, i64 %i.031.i, i32 14
  %5 = load ptr, ptr %present.i, align 8
  %6 = load i64, ptr %5, align 8
  %tobool2.not.i = icmp eq i64 %6, 0
  br i1 %tobool2.not.i, label %cleanup.i, label %if.end.i

if.end.i:
  %looks.i = getelementptr inbounds %struct.Segment, ptr %4, i64 %i.031.i, i32 11
  %7 = load ptr, ptr %looks.i, align 8
  tail call void %2(ptr noundef %7)
  %states.i = getelementptr inbounds %struct.Segment, ptr %4, i64 %i.031.i, i32 20
  %8 = load i64, ptr %states.i, align 8
  %cmp528.i = icmp sgt i64 %8, 0
  br i1 %cmp528.i, label %for.body7.lr.ph.i, label %cleanup.i

for.body7.lr.ph.i:
  %copied.i = getelementptr inbounds %struct.Segment, ptr %4, i64 %i.031.i, i32 19
  br label %for.body7.i

for.body7.i:
  %k.029.i = phi i64 [ 0, %for.body7.lr.ph.i ], [ %inc.i, %for.body7.i ]
  %9 = load ptr, ptr %bump_version.i, align 8
  %10 = load ptr, ptr %looks.i, align 8
  %add.ptr.i = getelementptr inbounds %struct.Look, ptr %10, i64 1
  %11 = load i64, ptr %copied.i, align 8
  %add.ptr10.i = getelementptr inbounds %struct.Look, ptr %add.ptr.i, i64 %11
  %add.ptr11.i = getelementptr inbounds %struct.Look, ptr %add.ptr10.i, i64 %k.029.i
  tail call void %9(ptr noundef nonnull %add.ptr11.i)
  %inc.i = add nuw nsw i64 %k.029.i, 1
  %12 = load i64, ptr %states.i, align 8
  %cmp5.i = icmp slt i64 %inc.i, %12
  br i1 %cmp5.i, label %for.body7.i, label %cleanup.i

cleanup.i:
  %inc13.i = add nuw nsw i64 %i.031.i, 1
  %13 = load ptr, ptr %bump_version.i, align 8
  %tobool.not.i = icmp eq ptr %13, null
  br i1 %tobool.not.i, label %tell.exit, label %land.rhs.i

tell.exit:
  tail call fastcc void @count(ptr noundef nonnull %table)
  ret void
}

define noundef i32 @alone(i64 noundef %begin, i64 noundef %end, i64 noundef %grain, ptr noundef readonly %work, ptr noundef %context) nounwind "no-builtins" {
entry:
  tail call void %work(i64 noundef %begin, i64 noundef %end, ptr noundef %context)
  ret i32 0
}

define i64 @holds(ptr noundef readonly %watch, ptr noundef %groups, ptr noundef %states) nounwind "no-builtins" {
entry:
  %key = alloca ptr, align 8
  %inner = alloca ptr, align 8
  %value = alloca ptr, align 8
  %i35 = alloca i64, align 8
  %j48 = alloca i64, align 8
  %0 = load ptr, ptr %watch, align 8
  %params = getelementptr inbounds %struct.Watch, ptr %watch, i64 0, i32 3
  %1 = load ptr, ptr %params, align 8
  %size = getelementptr inbounds %struct.Python, ptr %0, i64 0, i32 2
  %2 = load ptr, ptr %size, align 8
  %call = tail call i64 %2(ptr noundef %groups)
  %n_groups = getelementptr inbounds %struct.Watch, ptr %watch, i64 0, i32 2
  %3 = load i64, ptr %n_groups, align 8
  %cmp.not = icmp eq i64 %call, %3
  br i1 %cmp.not, label %for.cond.preheader, label %if.then

for.cond.preheader:
  %cmp3.not143 = icmp sgt i64 %call, 0
  br i1 %cmp3.not143, label %for.body.lr.ph, label %for.end33

for.body.lr.ph:
  %get = getelementptr inbounds %struct.Python, ptr %0, i64 0, i32 1
  %item = getelementptr inbounds %struct.Python, ptr %0, i64 0, i32 3
  %key5 = getelementptr inbounds %struct.Watch, ptr %watch, i64 0, i32 1
  br label %for.body

if.then:
  %clear = getelementptr inbounds %struct.Python, ptr %0, i64 0, i32 4
  %4 = load ptr, ptr %clear, align 8
  tail call void %4()
  br label %cleanup78

for.body:
  %want.0145 = phi ptr [ %1, %for.body.lr.ph ], [ %incdec.ptr30, %for.inc28 ]
  %i.0144 = phi i64 [ 0, %for.body.lr.ph ], [ %inc29, %for.inc28 ]
  %5 = load ptr, ptr %get, align 8
  %6 = load ptr, ptr %item, align 8
  %call4 = tail call ptr %6(ptr noundef %groups, i64 noundef %i.0144)
  %7 = load ptr, ptr %key5, align 8
  %call6 = tail call ptr %5(ptr noundef %call4, ptr noundef %7)
  %tobool.not = icmp eq ptr %call6, null
  br i1 %tobool.not, label %if.then10, label %cond.end

cond.end:
  %8 = load ptr, ptr %size, align 8
  %call8 = tail call i64 %8(ptr noundef nonnull %call6)
  %cmp9 = icmp slt i64 %call8, 0
  br i1 %cmp9, label %if.then10, label %for.cond13.preheader

for.cond13.preheader:
  %cmp14.not140.not = icmp eq i64 %call8, 0
  br i1 %cmp14.not140.not, label %cleanup25, label %for.body16.preheader

for.body16.preheader:
  %9 = shl i64 %call8, 3
  %scevgep = getelementptr i8, ptr %want.0145, i64 %9
  br label %for.body16

if.then10:
  %clear11 = getelementptr inbounds %struct.Python, ptr %0, i64 0, i32 4
  %10 = load ptr, ptr %clear11, align 8
  tail call void %10()
  br label %cleanup78

for.body16:
  %j.0142 = phi i64 [ %inc, %for.inc ], [ 0, %for.body16.preheader ]
  %want.1141 = phi ptr [ %incdec.ptr, %for.inc ], [ %want.0145, %for.body16.preheader ]
  %11 = load ptr, ptr %item, align 8
  %call18 = tail call ptr %11(ptr noundef nonnull %call6, i64 noundef %j.0142)
  %12 = load ptr, ptr %want.1141, align 8
  %cmp19.not = icmp eq ptr %call18, %12
  br i1 %cmp19.not, label %for.inc, label %cleanup78

for.inc:
  %inc = add nuw nsw i64 %j.0142, 1
  %incdec.ptr = getelementptr inbounds ptr, ptr %want.1141, i64 1
  %exitcond.not = icmp eq i64 %inc, %call8
  br i1 %exitcond.not, label %cleanup25, label %for.body16

cleanup25:
  %want.1.lcssa = phi ptr [ %want.0145, %for.cond13.preheader ], [ %scevgep, %for.inc ]
  %13 = load ptr, ptr %want.1.lcssa, align 8
  %tobool22.not = icmp eq ptr %13, null
  br i1 %tobool22.not, label %for.inc28, label %cleanup78

for.inc28:
  %inc29 = add nuw nsw i64 %i.0144, 1
  %incdec.ptr30 = getelementptr inbounds ptr, ptr %want.1.lcssa, i64 1
  %14 = load i64, ptr %n_groups, align 8
  %cmp3.not = icmp slt i64 %inc29, %14
  br i1 %cmp3.not, label %for.body, label %for.end33

for.end33:
  %states34 = getelementptr inbounds %struct.Watch, ptr %watch, i64 0, i32 4
  %15 = load ptr, ptr %states34, align 8
  store i64 0, ptr %i35, align 8
  br label %for.cond36thread-pre-split

for.cond36thread-pre-split:
  %want.3.ph = phi ptr [ %incdec.ptr72, %for.end68.critedge ], [ %15, %for.end33 ]
  %.pr = load ptr, ptr %want.3.ph, align 8
  br label %for.cond36

for.cond36:
  %16 = phi ptr [ %.pr, %for.cond36thread-pre-split ], [ %.pre151, %for.body41 ]
  %tobool37.not = icmp eq ptr %16, null
  br i1 %tobool37.not, label %for.end75, label %land.rhs

land.rhs:
  %17 = load ptr, ptr %0, align 8
  %call38 = call i32 %17(ptr noundef %states, ptr noundef nonnull %i35, ptr noundef nonnull %key, ptr noundef nonnull %inner)
  %tobool39.not = icmp eq i32 %call38, 0
  %.pre151 = load ptr, ptr %want.3.ph, align 8
  br i1 %tobool39.not, label %for.end75, label %for.body41

for.body41:
  %18 = load ptr, ptr %key, align 8
  %cmp42.not = icmp eq ptr %18, %.pre151
  br i1 %cmp42.not, label %if.end44, label %for.cond36

if.end44:
  %19 = load ptr, ptr %inner, align 8
  %arrayidx = getelementptr inbounds ptr, ptr %want.3.ph, i64 1
  %20 = load ptr, ptr %arrayidx, align 8
  %cmp45.not = icmp eq ptr %19, %20
  br i1 %cmp45.not, label %if.end47, label %cleanup73.thread

if.end47:
  store i64 0, ptr %j48, align 8
  br label %for.cond49thread-pre-split

for.cond49thread-pre-split:
  %want.4.ph.pn = phi ptr [ %want.3.ph, %if.end47 ], [ %want.4.ph, %if.end60 ]
  %want.4.ph = getelementptr inbounds ptr, ptr %want.4.ph.pn, i64 2
  %.pr131 = load ptr, ptr %want.4.ph, align 8
  br label %for.cond49

for.cond49:
  %21 = phi ptr [ %.pr131, %for.cond49thread-pre-split ], [ %.pre, %for.body57 ]
  %tobool50.not = icmp eq ptr %21, null
  br i1 %tobool50.not, label %for.end68.critedge, label %land.rhs51

land.rhs51:
  %22 = load ptr, ptr %0, align 8
  %23 = load ptr, ptr %inner, align 8
  %call53 = call i32 %22(ptr noundef %23, ptr noundef nonnull %j48, ptr noundef nonnull %key, ptr noundef nonnull %value)
  %tobool54.not = icmp eq i32 %call53, 0
  %.pre = load ptr, ptr %want.4.ph, align 8
  br i1 %tobool54.not, label %for.end68.critedge, label %for.body57

for.body57:
  %24 = load ptr, ptr %key, align 8
  %cmp58.not = icmp eq ptr %24, %.pre
  br i1 %cmp58.not, label %if.end60, label %for.cond49

if.end60:
  %25 = load ptr, ptr %value, align 8
  %arrayidx61 = getelementptr inbounds ptr, ptr %want.4.ph.pn, i64 3
  %26 = load ptr, ptr %arrayidx61, align 8
  %cmp62.not = icmp eq ptr %25, %26
  br i1 %cmp62.not, label %for.cond49thread-pre-split, label %cleanup66

cleanup66:
  br label %cleanup73.thread

for.end68.critedge:
  %27 = phi ptr [ %.pre, %land.rhs51 ], [ null, %for.cond49 ]
  %tobool69.not = icmp eq ptr %27, null
  %incdec.ptr72 = getelementptr inbounds ptr, ptr %want.4.ph.pn, i64 3
  br i1 %tobool69.not, label %for.cond36thread-pre-split, label %cleanup73.thread

cleanup73.thread:
  br label %cleanup78

for.end75:
  %28 = phi ptr [ null, %for.cond36 ], [ %.pre151, %land.rhs ]
  %cmp76 = icmp eq ptr %28, null
  %conv77 = zext i1 %cmp76 to i64
  br label %cleanup78

cleanup78:
  %retval.7 = phi i64 [ 0, %if.then ], [ %conv77, %for.end75 ], [ 0, %cleanup73.thread ], [ 0, %if.then10 ], [ 0, %for.body16 ], [ 0, %cleanup25 ]
  ret i64 %retval.7
}

declare void @llvm.prefetch.p0(ptr readonly, i32 immarg, i32 immarg, i32 immarg)

define internal fastcc noundef zeroext i1 @fits(ptr noundef readonly %table, ptr noundef %tensor, i64 noundef %dtype, ptr noundef %seen, ptr noundef readonly %look) nounwind "no-builtins" {
entry:
  %type.i = alloca i32, align 4
  %index.i = alloca i32, align 4
  %word = alloca i32, align 4
  %dim = alloca i64, align 8
  %sizes = alloca ptr, align 8
  %strides = alloca ptr, align 8
  %0 = load ptr, ptr %table, align 8
  %anatomy2 = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 1
  %1 = load ptr, ptr %anatomy2, align 8
  %tobool.not = icmp eq ptr %1, null
  br i1 %tobool.not, label %if.end, label %land.rhs

land.rhs:
  %dim3 = getelementptr inbounds %struct.Look, ptr %look, i64 0, i32 5
  %2 = load i64, ptr %dim3, align 8
  %most_dims = getelementptr inbounds %struct.Anatomy, ptr %1, i64 0, i32 9
  %3 = load i64, ptr %most_dims, align 8
  %cmp.not = icmp sgt i64 %2, %3
  br i1 %cmp.not, label %if.end, label %land.lhs.true

land.lhs.true:
  %4 = load ptr, ptr %tensor, align 8
  %kind.i = getelementptr inbounds %struct.Anatomy, ptr %1, i64 0, i32 5
  %5 = load i64, ptr %kind.i, align 8
  %arrayidx.i = getelementptr inbounds i64, ptr %4, i64 %5
  %6 = load i64, ptr %arrayidx.i, align 8
  %kind_bits.i = getelementptr inbounds %struct.Anatomy, ptr %1, i64 0, i32 10
  %7 = load i64, ptr %kind_bits.i, align 8
  %and.i = and i64 %7, %6
  %8 = load i64, ptr %seen, align 8
  %cmp.not.i = icmp eq i64 %and.i, %8
  br i1 %cmp.not.i, label %if.end.i, label %if.end

if.end.i:
  %keys.i = getelementptr inbounds %struct.Anatomy, ptr %1, i64 0, i32 6
  %9 = load i64, ptr %keys.i, align 8
  %arrayidx2.i = getelementptr inbounds i64, ptr %4, i64 %9
  %10 = load i64, ptr %arrayidx2.i, align 8
  %keys3.i = getelementptr inbounds %struct.Seen, ptr %seen, i64 0, i32 1
  %11 = load i64, ptr %keys3.i, align 8
  %cmp4.not.i = icmp eq i64 %10, %11
  br i1 %cmp4.not.i, label %lor.lhs.false.i, label %if.end

lor.lhs.false.i:
  %dim.i = getelementptr inbounds %struct.Anatomy, ptr %1, i64 0, i32 1
  %12 = load i64, ptr %dim.i, align 8
  %arrayidx5.i = getelementptr inbounds i64, ptr %4, i64 %12
  %13 = load i64, ptr %arrayidx5.i, align 8
  %cmp7.not.i = icmp eq i64 %13, %2
  br i1 %cmp7.not.i, label %for.cond.preheader.i, label %if.end

for.cond.preheader.i:
  %cmp11.not49.i = icmp slt i64 %2, 1
  br i1 %cmp11.not49.i, label %cleanup93, label %for.body.lr.ph.i

for.body.lr.ph.i:
  %sizes.i = getelementptr inbounds %struct.Anatomy, ptr %1, i64 0, i32 2
  %14 = load i64, ptr %sizes.i, align 8
  %15 = getelementptr i64, ptr %4, i64 %14
  %sizes13.i = getelementptr inbounds %struct.Look, ptr %look, i64 0, i32 6
  %16 = load ptr, ptr %sizes13.i, align 8
  %strides.i = getelementptr inbounds %struct.Anatomy, ptr %1, i64 0, i32 3
  %strides20.i = getelementptr inbounds %struct.Look, ptr %look, i64 0, i32 7
  br label %for.body.i

for.cond.i:
  %inc.i = add nuw nsw i64 %d.050.i, 1
  %exitcond.i = icmp eq i64 %inc.i, %2
  br i1 %exitcond.i, label %cleanup93, label %for.body.i

for.body.i:
  %d.050.i = phi i64 [ 0, %for.body.lr.ph.i ], [ %inc.i, %for.cond.i ]
  %arrayidx12.i = getelementptr i64, ptr %15, i64 %d.050.i
  %17 = load i64, ptr %arrayidx12.i, align 8
  %arrayidx14.i = getelementptr inbounds i64, ptr %16, i64 %d.050.i
  %18 = load i64, ptr %arrayidx14.i, align 8
  %cmp15.not.i = icmp eq i64 %17, %18
  br i1 %cmp15.not.i, label %if.end17.i, label %if.end

if.end17.i:
  %19 = load i64, ptr %strides.i, align 8
  %20 = getelementptr i64, ptr %4, i64 %19
  %arrayidx19.i = getelementptr i64, ptr %20, i64 %d.050.i
  %21 = load i64, ptr %arrayidx19.i, align 8
  %22 = load ptr, ptr %strides20.i, align 8
  %arrayidx21.i = getelementptr inbounds i64, ptr %22, i64 %d.050.i
  %23 = load i64, ptr %arrayidx21.i, align 8
  %cmp22.not.i = icmp ne i64 %21, %23
  %cmp25.i = icmp sgt i64 %17, 1
  %or.cond.i = and i1 %cmp25.i, %cmp22.not.i
  br i1 %or.cond.i, label %if.end, label %for.cond.i

if.end:
  %layout = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 2
  %24 = load ptr, ptr %layout, align 8
  %call5 = call i32 %24(ptr noundef %tensor, ptr noundef nonnull %word)
  %tobool6 = icmp ne i32 %call5, 0
  %25 = load i32, ptr %word, align 4
  %cmp7 = icmp ne i32 %25, 0
  %or.cond = select i1 %tobool6, i1 true, i1 %cmp7
  br i1 %or.cond, label %cleanup93, label %if.end9

if.end9:
  %device = getelementptr inbounds %struct.Look, ptr %look, i64 0, i32 4
  %26 = load i32, ptr %device, align 4
  store i32 0, ptr %index.i, align 4
  %device1.i = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 3
  %27 = load ptr, ptr %device1.i, align 8
  %call.i = call i32 %27(ptr noundef %tensor, ptr noundef nonnull %type.i)
  %tobool.not.i = icmp eq i32 %call.i, 0
  br i1 %tobool.not.i, label %lor.lhs.false.i152, label %lies_on.exit.thread

lor.lhs.false.i152:
  %28 = load i32, ptr %type.i, align 4
  %shr.i = ashr i32 %26, 8
  %cmp.not.i153 = icmp eq i32 %28, %shr.i
  br i1 %cmp.not.i153, label %if.end.i154, label %lies_on.exit.thread

if.end.i154:
  %tobool2.not.i = icmp eq i32 %28, 0
  br i1 %tobool2.not.i, label %lies_on.exit.thread158, label %lies_on.exit

lies_on.exit.thread158:
  br label %if.end12

lies_on.exit.thread:
  br label %cleanup93

lies_on.exit:
  %device_index.i = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 4
  %29 = load ptr, ptr %device_index.i, align 8
  %call3.i = call i32 %29(ptr noundef %tensor, ptr noundef nonnull %index.i)
  %tobool4.not.i = icmp eq i32 %call3.i, 0
  %30 = load i32, ptr %index.i, align 4
  %and.i155 = and i32 %26, 255
  %cmp5.i = icmp eq i32 %30, %and.i155
  %31 = select i1 %tobool4.not.i, i1 %cmp5.i, i1 false
  br i1 %31, label %if.end12, label %cleanup93

if.end12:
  %dtype13 = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 5
  %32 = load ptr, ptr %dtype13, align 8
  %call14 = call i32 %32(ptr noundef %tensor, ptr noundef nonnull %word)
  %tobool15.not = icmp eq i32 %call14, 0
  %33 = load i32, ptr %word, align 4
  %conv = sext i32 %33 to i64
  %cmp17.not = icmp eq i64 %conv, %dtype
  %or.cond150 = select i1 %tobool15.not, i1 %cmp17.not, i1 false
  br i1 %or.cond150, label %if.end20, label %cleanup93

if.end20:
  %is_neg = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 10
  %34 = load ptr, ptr %is_neg, align 8
  %tobool21.not = icmp eq ptr %34, null
  br i1 %tobool21.not, label %if.end27, label %land.lhs.true22

land.lhs.true22:
  %call24 = call i1 %34(ptr noundef %tensor)
  br i1 %call24, label %cleanup93, label %if.end27

if.end27:
  %is_conj = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 11
  %35 = load ptr, ptr %is_conj, align 8
  %tobool28.not = icmp eq ptr %35, null
  br i1 %tobool28.not, label %if.end34, label %land.lhs.true29

land.lhs.true29:
  %call31 = call i1 %35(ptr noundef %tensor)
  br i1 %call31, label %cleanup93, label %if.end34

if.end34:
  %dim35 = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 6
  %36 = load ptr, ptr %dim35, align 8
  %call36 = call i32 %36(ptr noundef %tensor, ptr noundef nonnull %dim)
  %tobool37.not = icmp eq i32 %call36, 0
  br i1 %tobool37.not, label %lor.lhs.false38, label %cleanup93

lor.lhs.false38:
  %37 = load i64, ptr %dim, align 8
  %dim39 = getelementptr inbounds %struct.Look, ptr %look, i64 0, i32 5
  %38 = load i64, ptr %dim39, align 8
  %cmp40.not = icmp eq i64 %37, %38
  br i1 %cmp40.not, label %if.end43, label %cleanup93

if.end43:
  %sizes44 = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 7
  %39 = load ptr, ptr %sizes44, align 8
  %call45 = call i32 %39(ptr noundef %tensor, ptr noundef nonnull %sizes)
  %tobool46.not = icmp eq i32 %call45, 0
  br i1 %tobool46.not, label %lor.lhs.false47, label %cleanup93

lor.lhs.false47:
  %strides48 = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 8
  %40 = load ptr, ptr %strides48, align 8
  %call49 = call i32 %40(ptr noundef %tensor, ptr noundef nonnull %strides)
  %tobool50.not = icmp eq i32 %call49, 0
  br i1 %tobool50.not, label %for.cond.preheader, label %cleanup93

for.cond.preheader:
  %41 = load i64, ptr %dim, align 8
  %cmp53.not161 = icmp sgt i64 %41, 0
  br i1 %cmp53.not161, label %for.body.lr.ph, label %for.end

for.body.lr.ph:
  %42 = load ptr, ptr %sizes, align 8
  %sizes55 = getelementptr inbounds %struct.Look, ptr %look, i64 0, i32 6
  %43 = load ptr, ptr %sizes55, align 8
  %44 = load ptr, ptr %strides, align 8
  %strides62 = getelementptr inbounds %struct.Look, ptr %look, i64 0, i32 7
  br label %for.body

for.cond:
  %inc = add nuw nsw i64 %d.0162, 1
  %exitcond.not = icmp eq i64 %inc, %41
  br i1 %exitcond.not, label %for.end, label %for.body

for.body:
  %d.0162 = phi i64 [ 0, %for.body.lr.ph ], [ %inc, %for.cond ]
  %arrayidx = getelementptr inbounds i64, ptr %42, i64 %d.0162
  %45 = load i64, ptr %arrayidx, align 8
  %arrayidx56 = getelementptr inbounds i64, ptr %43, i64 %d.0162
  %46 = load i64, ptr %arrayidx56, align 8
  %cmp57.not = icmp eq i64 %45, %46
  br i1 %cmp57.not, label %if.end60, label %cleanup93

if.end60:
  %arrayidx61 = getelementptr inbounds i64, ptr %44, i64 %d.0162
  %47 = load i64, ptr %arrayidx61, align 8
  %48 = load ptr, ptr %strides62, align 8
  %arrayidx63 = getelementptr inbounds i64, ptr %48, i64 %d.0162
  %49 = load i64, ptr %arrayidx63, align 8
  %cmp64.not = icmp ne i64 %47, %49
  %cmp68 = icmp sgt i64 %45, 1
  %or.cond151 = and i1 %cmp68, %cmp64.not
  br i1 %or.cond151, label %cleanup93, label %for.cond

for.end:
  br i1 %tobool.not, label %cleanup93, label %if.then73

if.then73:
  %50 = load ptr, ptr %tensor, align 8
  %keys74 = getelementptr inbounds %struct.Anatomy, ptr %1, i64 0, i32 6
  %51 = load i64, ptr %keys74, align 8
  %arrayidx75 = getelementptr inbounds i64, ptr %50, i64 %51
  %52 = load i64, ptr %arrayidx75, align 8
  %plain = getelementptr inbounds %struct.Anatomy, ptr %1, i64 0, i32 11
  %53 = load i64, ptr %plain, align 8
  %cmp76.not = icmp eq i64 %52, %53
  br i1 %cmp76.not, label %if.end85, label %land.lhs.true78

land.lhs.true78:
  %keys79 = getelementptr inbounds %struct.Seen, ptr %seen, i64 0, i32 1
  %54 = load i64, ptr %keys79, align 8
  %cmp80.not = icmp eq i64 %52, %54
  br i1 %cmp80.not, label %if.end85, label %land.lhs.true82

land.lhs.true82:
  %fresh = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 13
  %55 = load i64, ptr %fresh, align 8
  %tobool83.not = icmp eq i64 %55, 0
  br i1 %tobool83.not, label %cleanup93, label %if.end85

if.end85:
  %kind = getelementptr inbounds %struct.Anatomy, ptr %1, i64 0, i32 5
  %56 = load i64, ptr %kind, align 8
  %arrayidx86 = getelementptr inbounds i64, ptr %50, i64 %56
  %57 = load i64, ptr %arrayidx86, align 8
  %kind_bits = getelementptr inbounds %struct.Anatomy, ptr %1, i64 0, i32 10
  %58 = load i64, ptr %kind_bits, align 8
  %and = and i64 %58, %57
  store i64 %and, ptr %seen, align 8
  %keys88 = getelementptr inbounds %struct.Seen, ptr %seen, i64 0, i32 1
  store i64 %52, ptr %keys88, align 8
  br label %cleanup93

cleanup93:
  %retval.2 = phi i1 [ false, %if.end ], [ false, %lies_on.exit ], [ false, %if.end12 ], [ false, %land.lhs.true22 ], [ false, %land.lhs.true29 ], [ false, %lor.lhs.false38 ], [ false, %if.end34 ], [ false, %lor.lhs.false47 ], [ false, %if.end43 ], [ false, %land.lhs.true82 ], [ true, %if.end85 ], [ true, %for.end ], [ true, %for.cond.preheader.i ], [ false, %lies_on.exit.thread ], [ false, %if.end60 ], [ false, %for.body ], [ true, %for.cond.i ]
  ret i1 %retval.2
}

define internal fastcc zeroext i1 @unmoved(ptr noundef readonly %table, ptr noundef %look, ptr noundef %address) nounwind "no-builtins" {
entry:
  %holder.i = getelementptr inbounds %struct.Look, ptr %look, i64 0, i32 1
  %0 = load ptr, ptr %holder.i, align 8
  %tobool.not.i = icmp eq ptr %0, null
  br i1 %tobool.not.i, label %land.lhs.true, label %held.exit

held.exit:
  %1 = load ptr, ptr %0, align 8
  %2 = load ptr, ptr %look, align 8
  %cmp.i = icmp eq ptr %1, %2
  br i1 %cmp.i, label %land.lhs.true, label %land.end

land.lhs.true:
  %dtype = getelementptr inbounds %struct.Look, ptr %look, i64 0, i32 3
  %3 = load i32, ptr %dtype, align 8
  %conv = sext i32 %3 to i64
  %seen = getelementptr inbounds %struct.Look, ptr %look, i64 0, i32 2
  %call1 = tail call fastcc i1 @fits(ptr noundef %table, ptr noundef nonnull %look, i64 noundef %conv, ptr noundef nonnull %seen, ptr noundef nonnull %look)
  br i1 %call1, label %land.lhs.true3, label %land.end

land.lhs.true3:
  %anatomy1.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 1
  %4 = load ptr, ptr %anatomy1.i, align 8
  %tobool.not.i18 = icmp eq ptr %4, null
  br i1 %tobool.not.i18, label %memory.exit, label %land.lhs.true.i

land.lhs.true.i:
  %itemsize.i = getelementptr inbounds %struct.Look, ptr %look, i64 0, i32 2, i32 2
  %5 = load i64, ptr %itemsize.i, align 8
  %tobool2.not.i = icmp eq i64 %5, 0
  br i1 %tobool2.not.i, label %memory.exit, label %if.then.i

if.then.i:
  %6 = load ptr, ptr %look, align 8
  %7 = load i64, ptr %4, align 8
  %arrayidx.i = getelementptr inbounds i64, ptr %6, i64 %7
  %8 = load i64, ptr %arrayidx.i, align 8
  %9 = inttoptr i64 %8 to ptr
  %tobool4.not.i = icmp eq i64 %8, 0
  br i1 %tobool4.not.i, label %memory.exit, label %cond.end.i

cond.end.i:
  %data5.i = getelementptr inbounds %struct.Anatomy, ptr %4, i64 0, i32 7
  %10 = load i64, ptr %data5.i, align 8
  %arrayidx6.i = getelementptr inbounds i64, ptr %9, i64 %10
  %11 = load i64, ptr %arrayidx6.i, align 8
  %tobool7.not.i = icmp eq i64 %11, 0
  br i1 %tobool7.not.i, label %memory.exit, label %land.lhs.true8.i

land.lhs.true8.i:
  %context.i = getelementptr inbounds %struct.Anatomy, ptr %4, i64 0, i32 8
  %12 = load i64, ptr %context.i, align 8
  %arrayidx9.i = getelementptr inbounds i64, ptr %9, i64 %12
  %13 = load i64, ptr %arrayidx9.i, align 8
  %cmp.i19 = icmp eq i64 %13, %11
  br i1 %cmp.i19, label %memory.exit.thread, label %memory.exit

memory.exit.thread:
  %offset.i = getelementptr inbounds %struct.Anatomy, ptr %4, i64 0, i32 4
  %14 = load i64, ptr %offset.i, align 8
  %arrayidx11.i = getelementptr inbounds i64, ptr %6, i64 %14
  %15 = load i64, ptr %arrayidx11.i, align 8
  %mul.i = mul i64 %15, %5
  %add.i = add i64 %mul.i, %11
  %16 = inttoptr i64 %add.i to ptr
  store ptr %16, ptr %address, align 8
  br label %land.rhs

memory.exit:
  %17 = load ptr, ptr %table, align 8
  %data16.i = getelementptr inbounds %struct.Torch, ptr %17, i64 0, i32 9
  %18 = load ptr, ptr %data16.i, align 8
  %call.i = tail call i32 %18(ptr noundef nonnull %look, ptr noundef %address)
  %tobool17.not.i = icmp eq i32 %call.i, 0
  br i1 %tobool17.not.i, label %memory.exit.land.rhs_crit_edge, label %land.end

memory.exit.land.rhs_crit_edge:
  %.pre = load ptr, ptr %address, align 8
  br label %land.rhs

land.rhs:
  %19 = phi ptr [ %.pre, %memory.exit.land.rhs_crit_edge ], [ %16, %memory.exit.thread ]
  %address7 = getelementptr inbounds %struct.Look, ptr %look, i64 0, i32 8
  %20 = load ptr, ptr %address7, align 8
  %cmp = icmp eq ptr %19, %20
  br label %land.end

land.end:
  %21 = phi i1 [ false, %memory.exit ], [ false, %land.lhs.true ], [ false, %held.exit ], [ %cmp, %land.rhs ]
  ret i1 %21
}

define internal fastcc void @begin_stage(ptr noundef readonly %segment, i64 noundef %k) nounwind "no-builtins" {
entry:
  %tobool.not = icmp eq i64 %k, 0
  %stages1.phi.trans.insert = getelementptr inbounds %struct.Segment, ptr %segment, i64 0, i32 1
  %.pre = load ptr, ptr %stages1.phi.trans.insert, align 8
  br i1 %tobool.not, label %if.end, label %if.then

if.then:
  %0 = getelementptr %struct.Stage, ptr %.pre, i64 %k
  %numel.i.i = getelementptr inbounds %struct.Segment, ptr %segment, i64 0, i32 15
  %1 = load i64, ptr %numel.i.i, align 8
  %sub.i.i = add nsw i64 %1, 63
  %div.i.i = sdiv i64 %sub.i.i, 64
  %mul.i.i = shl nsw i64 %div.i.i, 6
  %spec.store.select.i.i = tail call i64 @llvm.smax.i64(i64 %mul.i.i, i64 0)
  %spec.select.i.i = tail call i64 @llvm.smin.i64(i64 %spec.store.select.i.i, i64 %1)
  %block.i.i = getelementptr inbounds %struct.Segment, ptr %segment, i64 0, i32 3
  %2 = load i64, ptr %block.i.i, align 8
  %add.i.i = add i64 %2, -1
  %sub.i82.i = add i64 %add.i.i, %spec.select.i.i
  %div.i83.i = sdiv i64 %sub.i82.i, %2
  %sums.i.i = getelementptr %struct.Stage, ptr %0, i64 -1, i32 2
  %3 = load i64, ptr %sums.i.i, align 8
  %columns.i.i = getelementptr %struct.Stage, ptr %0, i64 -1, i32 4
  %4 = load i64, ptr %columns.i.i, align 8
  %width.i.i = getelementptr inbounds %struct.Segment, ptr %segment, i64 0, i32 4
  %5 = load i64, ptr %width.i.i, align 8
  %mul.i84.i = mul i64 %5, %4
  %add.i85.i = add i64 %mul.i84.i, %3
  %cmp89.i = icmp sgt i64 %3, 0
  br i1 %cmp89.i, label %for.cond3.preheader.lr.ph.i, label %for.cond.cleanup.i

for.cond3.preheader.lr.ph.i:
  %cmp486.i = icmp sgt i64 %div.i83.i, 0
  %partial.i = getelementptr inbounds %struct.Segment, ptr %segment, i64 0, i32 7
  %own.i = getelementptr inbounds %struct.Segment, ptr %segment, i64 0, i32 6
  %6 = load ptr, ptr %own.i, align 8
  %first.i = getelementptr %struct.Stage, ptr %0, i64 -1, i32 3
  %7 = load i64, ptr %first.i, align 8
  %8 = getelementptr double, ptr %6, i64 %7
  %xtraiter = and i64 %div.i83.i, 3
  %9 = icmp ult i64 %div.i83.i, 4
  %unroll_iter = and i64 %div.i83.i, 9223372036854775804
  %lcmp.mod.not = icmp eq i64 %xtraiter, 0
  br label %for.cond3.preheader.i

for.cond3.preheader.i:
  %i.090.i = phi i64 [ 0, %for.cond3.preheader.lr.ph.i ], [ %inc11.i, %for.cond.cleanup5.i ]
  br i1 %cmp486.i, label %for.body6.lr.ph.i, label %for.cond.cleanup5.i

for.body6.lr.ph.i:
  %10 = load ptr, ptr %partial.i, align 8
  %invariant.gep.i = getelementptr double, ptr %10, i64 %i.090.i
  br i1 %9, label %for.cond.cleanup5.i.loopexit.unr-lcssa, label %for.body6.i

for.cond.cleanup.i:
  %slots.i = getelementptr inbounds %struct.Segment, ptr %segment, i64 0, i32 5
  %11 = load ptr, ptr %slots.i, align 8
  %first_column.i = getelementptr %struct.Stage, ptr %0, i64 -1, i32 5
  %12 = load i64, ptr %first_column.i, align 8
  %mul13.i = mul i64 %12, %5
  %add.ptr.i = getelementptr double, ptr %11, i64 %mul13.i
  %cmp1791.i = icmp sgt i64 %mul.i84.i, 0
  br i1 %cmp1791.i, label %for.body19.i.preheader, label %for.cond25.preheader.i

for.body19.i.preheader:
  %min.iters.check = icmp ult i64 %mul.i84.i, 4
  br i1 %min.iters.check, label %for.body19.i.preheader25, label %vector.ph

vector.ph:
  %n.vec = and i64 %mul.i84.i, 9223372036854775804
  br label %vector.body

vector.body:
  %index = phi i64 [ 0, %vector.ph ], [ %index.next, %vector.body ]
  %13 = getelementptr inbounds double, ptr %add.ptr.i, i64 %index
  %14 = getelementptr inbounds double, ptr %13, i64 2
  store <2 x double> zeroinitializer, ptr %13, align 8
  store <2 x double> zeroinitializer, ptr %14, align 8
  %index.next = add nuw i64 %index, 4
  %15 = icmp eq i64 %index.next, %n.vec
  br i1 %15, label %middle.block, label %vector.body

middle.block:
  %cmp.n = icmp eq i64 %mul.i84.i, %n.vec
  br i1 %cmp.n, label %for.cond25.preheader.i, label %for.body19.i.preheader25

for.body19.i.preheader25:
  %i14.092.i.ph = phi i64 [ 0, %for.body19.i.preheader ], [ %n.vec, %middle.block ]
  br label %for.body19.i

for.cond.cleanup5.i.loopexit.unr-lcssa:
  %add7.i.lcssa.ph = phi double [ undef, %for.body6.lr.ph.i ], [ %add7.i.3, %for.body6.i ]
  %b.088.i.unr = phi i64 [ 0, %for.body6.lr.ph.i ], [ %inc.i.3, %for.body6.i ]
  %total.087.i.unr = phi double [ 0.000000e+00, %for.body6.lr.ph.i ], [ %add7.i.3, %for.body6.i ]
  br i1 %lcmp.mod.not, label %for.cond.cleanup5.i, label %for.body6.i.epil

for.body6.i.epil:
  %b.088.i.epil = phi i64 [ %inc.i.epil, %for.body6.i.epil ], [ %b.088.i.unr, %for.cond.cleanup5.i.loopexit.unr-lcssa ]
  %total.087.i.epil = phi double [ %add7.i.epil, %for.body6.i.epil ], [ %total.087.i.unr, %for.cond.cleanup5.i.loopexit.unr-lcssa ]
  %epil.iter = phi i64 [ %epil.iter.next, %for.body6.i.epil ], [ 0, %for.cond.cleanup5.i.loopexit.unr-lcssa ]
  %mul.i.epil = mul nsw i64 %b.088.i.epil, %add.i85.i
  %gep.i.epil = getelementptr double, ptr %invariant.gep.i, i64 %mul.i.epil
  %16 = load double, ptr %gep.i.epil, align 8
  %add7.i.epil = fadd double %total.087.i.epil, %16
  %inc.i.epil = add nuw nsw i64 %b.088.i.epil, 1
  %epil.iter.next = add i64 %epil.iter, 1
  %epil.iter.cmp.not = icmp eq i64 %epil.iter.next, %xtraiter
  br i1 %epil.iter.cmp.not, label %for.cond.cleanup5.i, label %for.body6.i.epil

for.cond.cleanup5.i:
  %total.0.lcssa.i = phi double [ 0.000000e+00, %for.cond3.preheader.i ], [ %add7.i.lcssa.ph, %for.cond.cleanup5.i.loopexit.unr-lcssa ], [ %add7.i.epil, %for.body6.i.epil ]
  %arrayidx9.i = getelementptr double, ptr %8, i64 %i.090.i
  store double %total.0.lcssa.i, ptr %arrayidx9.i, align 8
  %inc11.i = add nuw nsw i64 %i.090.i, 1
  %exitcond97.not.i = icmp eq i64 %inc11.i, %3
  br i1 %exitcond97.not.i, label %for.cond.cleanup.i, label %for.cond3.preheader.i

for.body6.i:
  %b.088.i = phi i64 [ %inc.i.3, %for.body6.i ], [ 0, %for.body6.lr.ph.i ]
  %total.087.i = phi double [ %add7.i.3, %for.body6.i ], [ 0.000000e+00, %for.body6.lr.ph.i ]
  %niter = phi i64 [ %niter.next.3, %for.body6.i ], [ 0, %for.body6.lr.ph.i ]
  %mul.i = mul nsw i64 %b.088.i, %add.i85.i
  %gep.i = getelementptr double, ptr %invariant.gep.i, i64 %mul.i
  %17 = load double, ptr %gep.i, align 8
  %add7.i = fadd double %total.087.i, %17
  %inc.i = or disjoint i64 %b.088.i, 1
  %mul.i.1 = mul nsw i64 %inc.i, %add.i85.i
  %gep.i.1 = getelementptr double, ptr %invariant.gep.i, i64 %mul.i.1
  %18 = load double, ptr %gep.i.1, align 8
  %add7.i.1 = fadd double %add7.i, %18
  %inc.i.1 = or disjoint i64 %b.088.i, 2
  %mul.i.2 = mul nsw i64 %inc.i.1, %add.i85.i
  %gep.i.2 = getelementptr double, ptr %invariant.gep.i, i64 %mul.i.2
  %19 = load double, ptr %gep.i.2, align 8
  %add7.i.2 = fadd double %add7.i.1, %19
  %inc.i.2 = or disjoint i64 %b.088.i, 3
  %mul.i.3 = mul nsw i64 %inc.i.2, %add.i85.i
  %gep.i.3 = getelementptr double, ptr %invariant.gep.i, i64 %mul.i.3
  %20 = load double, ptr %gep.i.3, align 8
  %add7.i.3 = fadd double %add7.i.2, %20
  %inc.i.3 = add nuw nsw i64 %b.088.i, 4
  %niter.next.3 = add i64 %niter, 4
  %niter.ncmp.3 = icmp eq i64 %niter.next.3, %unroll_iter
  br i1 %niter.ncmp.3, label %for.cond.cleanup5.i.loopexit.unr-lcssa, label %for.body6.i

for.cond25.preheader.i:
  %cmp2695.i = icmp sgt i64 %div.i83.i, 0
  br i1 %cmp2695.i, label %for.cond30.preheader.lr.ph.i, label %if.end

for.cond30.preheader.lr.ph.i:
  %partial36.i = getelementptr inbounds %struct.Segment, ptr %segment, i64 0, i32 7
  %21 = add i64 %12, %4
  %22 = shl i64 %21, 3
  %23 = mul i64 %5, %22
  %scevgep = getelementptr i8, ptr %11, i64 %23
  %24 = mul i64 %5, %4
  %25 = add i64 %24, %3
  %26 = shl i64 %25, 3
  %27 = shl i64 %add.i85.i, 3
  %min.iters.check13 = icmp ult i64 %mul.i84.i, 4
  %n.vec16 = and i64 %mul.i84.i, 9223372036854775804
  %cmp.n18 = icmp eq i64 %mul.i84.i, %n.vec16
  %xtraiter27 = and i64 %mul.i84.i, 3
  %lcmp.mod28.not = icmp eq i64 %xtraiter27, 0
  br label %for.cond30.preheader.i

for.body19.i:
  %i14.092.i = phi i64 [ %inc22.i, %for.body19.i ], [ %i14.092.i.ph, %for.body19.i.preheader25 ]
  %arrayidx20.i = getelementptr inbounds double, ptr %add.ptr.i, i64 %i14.092.i
  store double 0.000000e+00, ptr %arrayidx20.i, align 8
  %inc22.i = add nuw nsw i64 %i14.092.i, 1
  %exitcond98.not.i = icmp eq i64 %inc22.i, %mul.i84.i
  br i1 %exitcond98.not.i, label %for.cond25.preheader.i, label %for.body19.i

for.cond30.preheader.i:
  %b24.096.i = phi i64 [ 0, %for.cond30.preheader.lr.ph.i ], [ %inc48.i, %for.cond.cleanup34.i ]
  %28 = mul i64 %27, %b24.096.i
  br i1 %cmp1791.i, label %for.body35.lr.ph.i, label %for.cond.cleanup34.i

for.body35.lr.ph.i:
  %29 = load ptr, ptr %partial36.i, align 8
  %mul37.i = mul nsw i64 %b24.096.i, %add.i85.i
  %30 = getelementptr double, ptr %29, i64 %mul37.i
  %31 = getelementptr double, ptr %30, i64 %3
  br i1 %min.iters.check13, label %for.body35.i.preheader, label %vector.memcheck

vector.memcheck:
  %32 = getelementptr i8, ptr %29, i64 %26
  %scevgep10 = getelementptr i8, ptr %32, i64 %28
  %bound0 = icmp ult ptr %add.ptr.i, %scevgep10
  %bound1 = icmp ult ptr %31, %scevgep
  %found.conflict = and i1 %bound0, %bound1
  br i1 %found.conflict, label %for.body35.i.preheader, label %vector.body19

vector.body19:
  %index20 = phi i64 [ %index.next24, %vector.body19 ], [ 0, %vector.memcheck ]
  %33 = getelementptr double, ptr %31, i64 %index20
  %34 = getelementptr double, ptr %33, i64 2
  %wide.load = load <2 x double>, ptr %33, align 8
  %wide.load21 = load <2 x double>, ptr %34, align 8
  %35 = getelementptr inbounds double, ptr %add.ptr.i, i64 %index20
  %36 = getelementptr inbounds double, ptr %35, i64 2
  %wide.load22 = load <2 x double>, ptr %35, align 8
  %wide.load23 = load <2 x double>, ptr %36, align 8
  %37 = fadd <2 x double> %wide.load, %wide.load22
  %38 = fadd <2 x double> %wide.load21, %wide.load23
  store <2 x double> %37, ptr %35, align 8
  store <2 x double> %38, ptr %36, align 8
  %index.next24 = add nuw i64 %index20, 4
  %39 = icmp eq i64 %index.next24, %n.vec16
  br i1 %39, label %middle.block11, label %vector.body19

middle.block11:
  br i1 %cmp.n18, label %for.cond.cleanup34.i, label %for.body35.i.preheader

for.body35.i.preheader:
  %i29.094.i.ph = phi i64 [ 0, %vector.memcheck ], [ 0, %for.body35.lr.ph.i ], [ %n.vec16, %middle.block11 ]
  br i1 %lcmp.mod28.not, label %for.body35.i.prol.loopexit, label %for.body35.i.prol

for.body35.i.prol:
  %i29.094.i.prol = phi i64 [ %inc45.i.prol, %for.body35.i.prol ], [ %i29.094.i.ph, %for.body35.i.preheader ]
  %prol.iter = phi i64 [ %prol.iter.next, %for.body35.i.prol ], [ 0, %for.body35.i.preheader ]
  %arrayidx41.i.prol = getelementptr double, ptr %31, i64 %i29.094.i.prol
  %40 = load double, ptr %arrayidx41.i.prol, align 8
  %arrayidx42.i.prol = getelementptr inbounds double, ptr %add.ptr.i, i64 %i29.094.i.prol
  %41 = load double, ptr %arrayidx42.i.prol, align 8
  %add43.i.prol = fadd double %40, %41
  store double %add43.i.prol, ptr %arrayidx42.i.prol, align 8
  %inc45.i.prol = add nuw nsw i64 %i29.094.i.prol, 1
  %prol.iter.next = add i64 %prol.iter, 1
  %prol.iter.cmp.not = icmp eq i64 %prol.iter.next, %xtraiter27
  br i1 %prol.iter.cmp.not, label %for.body35.i.prol.loopexit, label %for.body35.i.prol

for.body35.i.prol.loopexit:
  %i29.094.i.unr = phi i64 [ %i29.094.i.ph, %for.body35.i.preheader ], [ %inc45.i.prol, %for.body35.i.prol ]
  %42 = sub nsw i64 %i29.094.i.ph, %mul.i84.i
  %43 = icmp ugt i64 %42, -4
  br i1 %43, label %for.cond.cleanup34.i, label %for.body35.i

for.cond.cleanup34.i:
  %inc48.i = add nuw nsw i64 %b24.096.i, 1
  %exitcond100.not.i = icmp eq i64 %inc48.i, %div.i83.i
  br i1 %exitcond100.not.i, label %if.end, label %for.cond30.preheader.i

for.body35.i:
  %i29.094.i = phi i64 [ %inc45.i.3, %for.body35.i ], [ %i29.094.i.unr, %for.body35.i.prol.loopexit ]
  %arrayidx41.i = getelementptr double, ptr %31, i64 %i29.094.i
  %44 = load double, ptr %arrayidx41.i, align 8
  %arrayidx42.i = getelementptr inbounds double, ptr %add.ptr.i, i64 %i29.094.i
  %45 = load double, ptr %arrayidx42.i, align 8
  %add43.i = fadd double %44, %45
  store double %add43.i, ptr %arrayidx42.i, align 8
  %inc45.i = add nuw nsw i64 %i29.094.i, 1
  %arrayidx41.i.1 = getelementptr double, ptr %31, i64 %inc45.i
  %46 = load double, ptr %arrayidx41.i.1, align 8
  %arrayidx42.i.1 = getelementptr inbounds double, ptr %add.ptr.i, i64 %inc45.i
  %47 = load double, ptr %arrayidx42.i.1, align 8
  %add43.i.1 = fadd double %46, %47
  store double %add43.i.1, ptr %arrayidx42.i.1, align 8
  %inc45.i.1 = add nuw nsw i64 %i29.094.i, 2
  %arrayidx41.i.2 = getelementptr double, ptr %31, i64 %inc45.i.1
  %48 = load double, ptr %arrayidx41.i.2, align 8
  %arrayidx42.i.2 = getelementptr inbounds double, ptr %add.ptr.i, i64 %inc45.i.1
  %49 = load double, ptr %arrayidx42.i.2, align 8
  %add43.i.2 = fadd double %48, %49
  store double %add43.i.2, ptr %arrayidx42.i.2, align 8
  %inc45.i.2 = add nuw nsw i64 %i29.094.i, 3
  %arrayidx41.i.3 = getelementptr double, ptr %31, i64 %inc45.i.2
  %50 = load double, ptr %arrayidx41.i.3, align 8
  %arrayidx42.i.3 = getelementptr inbounds double, ptr %add.ptr.i, i64 %inc45.i.2
  %51 = load double, ptr %arrayidx42.i.3, align 8
  %add43.i.3 = fadd double %50, %51
  store double %add43.i.3, ptr %arrayidx42.i.3, align 8
  %inc45.i.3 = add nuw nsw i64 %i29.094.i, 4
  %exitcond99.not.i.3 = icmp eq i64 %inc45.i.3, %mul.i84.i
  br i1 %exitcond99.not.i.3, label %for.cond.cleanup34.i, label %for.body35.i

if.end:
  %arrayidx2 = getelementptr inbounds %struct.Stage, ptr %.pre, i64 %k
  %52 = load ptr, ptr %arrayidx2, align 8
  %arrays = getelementptr inbounds %struct.Segment, ptr %segment, i64 0, i32 12
  %53 = load ptr, ptr %arrays, align 8
  %row = getelementptr inbounds %struct.Segment, ptr %segment, i64 0, i32 8
  %54 = load ptr, ptr %row, align 8
  %own = getelementptr inbounds %struct.Segment, ptr %segment, i64 0, i32 6
  %55 = load ptr, ptr %own, align 8
  tail call void %52(ptr noundef %53, ptr noundef %54, ptr noundef %55)
  ret void
}

declare i64 @llvm.smax.i64(i64, i64)

declare i64 @llvm.smin.i64(i64, i64)
