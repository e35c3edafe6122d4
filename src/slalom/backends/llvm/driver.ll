; Made from driver.c by tools/make_driver.py: edit that, not this.

%struct.Table = type { ptr, ptr, ptr, i64, ptr, i64, ptr, ptr, i64, ptr, i64, i64 }
%struct.Segment = type { ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, i64, i64, i64, %struct.Seen, i64, i64, i64, i64 }
%struct.Seen = type { i64, i64, i64 }
%struct.Anatomy = type { i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, ptr }
%struct.Look = type { ptr, ptr, %struct.Seen, i64, i64, ptr, ptr, ptr }
%struct.Torch = type { ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr }
%struct.Watch = type { ptr, ptr, i64, ptr, ptr }
%struct.Python = type { ptr, ptr, ptr, ptr, ptr }

define i64 @gather(ptr noundef %table) nounwind "no-builtins" {
entry:
  %defined.i = alloca i8, align 1
  %defined.i.i60 = alloca i8, align 1
  %address.i = alloca ptr, align 8
  %defined.i.i = alloca i8, align 1
  %n_segments = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 3
  %0 = load i64, ptr %n_segments, align 8
  %cmp.not161 = icmp sgt i64 %0, 0
  br i1 %cmp.not161, label %for.body.lr.ph, label %for.cond9.preheader.loopexit

for.body.lr.ph:
  %segments = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 2
  %anatomy1.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 1
  %grads.i.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 6
  %n_written.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 8
  %written.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 7
  br label %for.body

for.body:
  %1 = phi i64 [ %0, %for.body.lr.ph ], [ %174, %for.inc ]
  %found.0164 = phi i64 [ 0, %for.body.lr.ph ], [ %or, %for.inc ]
  %line.0163 = phi i64 [ 0, %for.body.lr.ph ], [ %line.2, %for.inc ]
  %i.0162 = phi i64 [ 0, %for.body.lr.ph ], [ %inc, %for.inc ]
  %2 = load ptr, ptr %segments, align 8
  %3 = load ptr, ptr %anatomy1.i, align 8
  %add.i = add nuw nsw i64 %i.0162, 6
  %add2.i = add nuw nsw i64 %i.0162, 3
  %tobool.not.i = icmp eq ptr %3, null
  br i1 %tobool.not.i, label %fetch.exit, label %if.end.i

if.end.i:
  %cmp.i = icmp slt i64 %add.i, %1
  br i1 %cmp.i, label %if.then3.i, label %if.end19.i

if.then3.i:
  %copied.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %add.i, i32 12
  %4 = load i64, ptr %copied.i, align 8
  %add4.i = add nsw i64 %4, 1
  %states.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %add.i, i32 13
  %5 = load i64, ptr %states.i, align 8
  %add5.i = add nsw i64 %add4.i, %5
  %kept.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %add.i, i32 14
  %6 = load i64, ptr %kept.i, align 8
  %add6.i = add nsw i64 %add5.i, %6
  %cmp7102.i = icmp sgt i64 %add6.i, 0
  br i1 %cmp7102.i, label %for.body.lr.ph.i, label %if.end19.i

for.body.lr.ph.i:
  %looks.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %add.i, i32 4
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
  %i.0103.i = phi i64 [ 0, %for.body.lr.ph.i.new ], [ %inc.i.1, %if.end18.i.1 ]
  %niter = phi i64 [ 0, %for.body.lr.ph.i.new ], [ %niter.next.1, %if.end18.i.1 ]
  %arrayidx8.i = getelementptr inbounds %struct.Look, ptr %7, i64 %i.0103.i
  %13 = load ptr, ptr %arrayidx8.i, align 8
  %add.ptr.i = getelementptr inbounds i64, ptr %13, i64 %8
  call void @llvm.prefetch.p0(ptr %add.ptr.i, i32 0, i32 3, i32 1)
  %add.ptr10.i = getelementptr inbounds i64, ptr %13, i64 %9
  call void @llvm.prefetch.p0(ptr %add.ptr10.i, i32 0, i32 3, i32 1)
  %holder.i = getelementptr inbounds %struct.Look, ptr %7, i64 %i.0103.i, i32 1
  %14 = load ptr, ptr %holder.i, align 8
  %tobool13.not.i = icmp eq ptr %14, null
  br i1 %tobool13.not.i, label %if.end18.i, label %if.then14.i

if.then14.i:
  call void @llvm.prefetch.p0(ptr nonnull %14, i32 0, i32 3, i32 1)
  br label %if.end18.i

if.end18.i:
  %inc.i = or disjoint i64 %i.0103.i, 1
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
  %inc.i.1 = add nuw nsw i64 %i.0103.i, 2
  %niter.next.1 = add i64 %niter, 2
  %niter.ncmp.1 = icmp eq i64 %niter.next.1, %unroll_iter
  br i1 %niter.ncmp.1, label %if.end19.i.loopexit.unr-lcssa, label %for.body.i

if.end19.i.loopexit.unr-lcssa:
  %i.0103.i.unr = phi i64 [ 0, %for.body.lr.ph.i ], [ %inc.i.1, %if.end18.i.1 ]
  %lcmp.mod.not = icmp eq i64 %xtraiter, 0
  br i1 %lcmp.mod.not, label %if.end19.i, label %for.body.i.epil

for.body.i.epil:
  %arrayidx8.i.epil = getelementptr inbounds %struct.Look, ptr %7, i64 %i.0103.i.unr
  %17 = load ptr, ptr %arrayidx8.i.epil, align 8
  %add.ptr.i.epil = getelementptr inbounds i64, ptr %17, i64 %8
  call void @llvm.prefetch.p0(ptr %add.ptr.i.epil, i32 0, i32 3, i32 1)
  %add.ptr10.i.epil = getelementptr inbounds i64, ptr %17, i64 %9
  call void @llvm.prefetch.p0(ptr %add.ptr10.i.epil, i32 0, i32 3, i32 1)
  %holder.i.epil = getelementptr inbounds %struct.Look, ptr %7, i64 %i.0103.i.unr, i32 1
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
  %copied27.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %add2.i, i32 12
  %19 = load i64, ptr %copied27.i, align 8
  %add28.i = add nsw i64 %19, 1
  %states29.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %add2.i, i32 13
  %20 = load i64, ptr %states29.i, align 8
  %add30.i = add nsw i64 %add28.i, %20
  %kept31.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %add2.i, i32 14
  %21 = load i64, ptr %kept31.i, align 8
  %add32.i = add nsw i64 %add30.i, %21
  %cmp35104.i = icmp sgt i64 %add32.i, 0
  %looks39.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %add2.i, i32 4
  %22 = load ptr, ptr %looks39.i, align 8
  br i1 %cmp35104.i, label %for.body37.lr.ph.i, label %for.cond.cleanup36.i

for.body37.lr.ph.i:
  %data.i = getelementptr inbounds %struct.Anatomy, ptr %3, i64 0, i32 7
  %23 = add i64 %19, %20
  %xtraiter175 = and i64 %add32.i, 1
  %24 = sub i64 0, %21
  %25 = icmp eq i64 %23, %24
  br i1 %25, label %for.cond.cleanup36.i.loopexit.unr-lcssa, label %for.body37.lr.ph.i.new

for.body37.lr.ph.i.new:
  %unroll_iter177 = and i64 %add32.i, 9223372036854775806
  br label %for.body37.i

for.cond.cleanup36.i.loopexit.unr-lcssa:
  %i33.0105.i.unr = phi i64 [ 0, %for.body37.lr.ph.i ], [ %inc49.i.1, %if.end47.i.1 ]
  %lcmp.mod176.not = icmp eq i64 %xtraiter175, 0
  br i1 %lcmp.mod176.not, label %for.cond.cleanup36.i, label %for.body37.i.epil

for.body37.i.epil:
  %arrayidx40.i.epil = getelementptr inbounds %struct.Look, ptr %22, i64 %i33.0105.i.unr
  %26 = load ptr, ptr %arrayidx40.i.epil, align 8
  %tobool42.not.i.epil = icmp eq ptr %26, null
  br i1 %tobool42.not.i.epil, label %for.cond.cleanup36.i, label %if.then43.i.epil

if.then43.i.epil:
  %27 = load i64, ptr %3, align 8
  %arrayidx45.i.epil = getelementptr inbounds i64, ptr %26, i64 %27
  %28 = load i64, ptr %arrayidx45.i.epil, align 8
  %29 = inttoptr i64 %28 to ptr
  %30 = load i64, ptr %data.i, align 8
  %add.ptr46.i.epil = getelementptr inbounds i64, ptr %29, i64 %30
  call void @llvm.prefetch.p0(ptr %add.ptr46.i.epil, i32 0, i32 3, i32 1)
  br label %for.cond.cleanup36.i

for.cond.cleanup36.i:
  %31 = load ptr, ptr %table, align 8
  store i8 0, ptr %defined.i.i, align 1
  %grad.i.i = getelementptr inbounds %struct.Torch, ptr %31, i64 0, i32 12
  %32 = load ptr, ptr %grad.i.i, align 8
  %tobool.not.i.i = icmp eq ptr %32, null
  br i1 %tobool.not.i.i, label %if.then.i.i, label %if.end.i.i

if.then.i.i:
  %33 = load ptr, ptr %grads.i.i, align 8
  %arrayidx.i.i = getelementptr inbounds ptr, ptr %33, i64 %add2.i
  %34 = load ptr, ptr %arrayidx.i.i, align 8
  %tobool2.not.i.i = icmp eq ptr %34, null
  br i1 %tobool2.not.i.i, label %gradient.exit.thread.i, label %gradient.exit.thread98.i

if.end.i.i:
  %35 = load ptr, ptr %22, align 8
  %call.i.i = call ptr %32(ptr noundef %35)
  %36 = load ptr, ptr %anatomy1.i, align 8
  %tobool7.not.i.i = icmp eq ptr %36, null
  br i1 %tobool7.not.i.i, label %if.end14.i.i, label %if.then8.i.i

if.then8.i.i:
  %37 = load ptr, ptr %call.i.i, align 8
  %undefined.i.i = getelementptr inbounds %struct.Anatomy, ptr %36, i64 0, i32 11
  %38 = load ptr, ptr %undefined.i.i, align 8
  %cmp.i.i = icmp eq ptr %37, %38
  br i1 %cmp.i.i, label %gradient.exit.thread.i, label %gradient.exit.thread98.i

if.end14.i.i:
  %is_defined.i.i = getelementptr inbounds %struct.Torch, ptr %31, i64 0, i32 1
  %39 = load ptr, ptr %is_defined.i.i, align 8
  %call15.i.i = call i32 %39(ptr noundef %call.i.i, ptr noundef nonnull %defined.i.i)
  %tobool16.i.i = icmp eq i32 %call15.i.i, 0
  %40 = load i8, ptr %defined.i.i, align 1
  %tobool17.i.i = icmp ne i8 %40, 0
  %or.cond.i.i = select i1 %tobool16.i.i, i1 %tobool17.i.i, i1 false
  br i1 %or.cond.i.i, label %gradient.exit.i, label %gradient.exit.thread.i

gradient.exit.thread.i:
  br label %fetch.exit

gradient.exit.thread98.i:
  %41 = phi ptr [ %37, %if.then8.i.i ], [ %34, %if.then.i.i ]
  br label %if.then53.i

gradient.exit.i:
  %tobool52.not.i = icmp eq ptr %call.i.i, null
  br i1 %tobool52.not.i, label %fetch.exit, label %gradient.exit.if.then53_crit_edge.i

gradient.exit.if.then53_crit_edge.i:
  %.pre107.i = load ptr, ptr %call.i.i, align 8
  br label %if.then53.i

for.body37.i:
  %i33.0105.i = phi i64 [ 0, %for.body37.lr.ph.i.new ], [ %inc49.i.1, %if.end47.i.1 ]
  %niter178 = phi i64 [ 0, %for.body37.lr.ph.i.new ], [ %niter178.next.1, %if.end47.i.1 ]
  %arrayidx40.i = getelementptr inbounds %struct.Look, ptr %22, i64 %i33.0105.i
  %42 = load ptr, ptr %arrayidx40.i, align 8
  %tobool42.not.i = icmp eq ptr %42, null
  br i1 %tobool42.not.i, label %if.end47.i, label %if.then43.i

if.then43.i:
  %43 = load i64, ptr %3, align 8
  %arrayidx45.i = getelementptr inbounds i64, ptr %42, i64 %43
  %44 = load i64, ptr %arrayidx45.i, align 8
  %45 = inttoptr i64 %44 to ptr
  %46 = load i64, ptr %data.i, align 8
  %add.ptr46.i = getelementptr inbounds i64, ptr %45, i64 %46
  call void @llvm.prefetch.p0(ptr %add.ptr46.i, i32 0, i32 3, i32 1)
  br label %if.end47.i

if.end47.i:
  %inc49.i = or disjoint i64 %i33.0105.i, 1
  %arrayidx40.i.1 = getelementptr inbounds %struct.Look, ptr %22, i64 %inc49.i
  %47 = load ptr, ptr %arrayidx40.i.1, align 8
  %tobool42.not.i.1 = icmp eq ptr %47, null
  br i1 %tobool42.not.i.1, label %if.end47.i.1, label %if.then43.i.1

if.then43.i.1:
  %48 = load i64, ptr %3, align 8
  %arrayidx45.i.1 = getelementptr inbounds i64, ptr %47, i64 %48
  %49 = load i64, ptr %arrayidx45.i.1, align 8
  %50 = inttoptr i64 %49 to ptr
  %51 = load i64, ptr %data.i, align 8
  %add.ptr46.i.1 = getelementptr inbounds i64, ptr %50, i64 %51
  call void @llvm.prefetch.p0(ptr %add.ptr46.i.1, i32 0, i32 3, i32 1)
  br label %if.end47.i.1

if.end47.i.1:
  %inc49.i.1 = add nuw nsw i64 %i33.0105.i, 2
  %niter178.next.1 = add i64 %niter178, 2
  %niter178.ncmp.1 = icmp eq i64 %niter178.next.1, %unroll_iter177
  br i1 %niter178.ncmp.1, label %for.cond.cleanup36.i.loopexit.unr-lcssa, label %for.body37.i

if.then53.i:
  %52 = phi ptr [ %41, %gradient.exit.thread98.i ], [ %.pre107.i, %gradient.exit.if.then53_crit_edge.i ]
  %dim.i = getelementptr inbounds %struct.Anatomy, ptr %3, i64 0, i32 1
  %53 = load i64, ptr %dim.i, align 8
  %add.ptr54.i = getelementptr inbounds i64, ptr %52, i64 %53
  call void @llvm.prefetch.p0(ptr %add.ptr54.i, i32 0, i32 3, i32 1)
  br label %fetch.exit

fetch.exit:
  %looks.i61 = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0162, i32 4
  %54 = load ptr, ptr %looks.i61, align 8
  %incdec.ptr.i = getelementptr inbounds %struct.Look, ptr %54, i64 1
  %holder.i.i = getelementptr inbounds %struct.Look, ptr %54, i64 0, i32 1
  %55 = load ptr, ptr %holder.i.i, align 8
  %tobool.not.i.i62 = icmp eq ptr %55, null
  br i1 %tobool.not.i.i62, label %lor.lhs.false.i, label %held.exit.i

held.exit.i:
  %56 = load ptr, ptr %55, align 8
  %57 = load ptr, ptr %54, align 8
  %cmp.i.i63 = icmp eq ptr %56, %57
  br i1 %cmp.i.i63, label %lor.lhs.false.i, label %look_at.exit.thread

lor.lhs.false.i:
  %dtype.i = getelementptr inbounds %struct.Look, ptr %54, i64 0, i32 3
  %58 = load i64, ptr %dtype.i, align 8
  %seen.i = getelementptr inbounds %struct.Look, ptr %54, i64 0, i32 2
  %call1.i = call fastcc i1 @fits(ptr noundef %table, ptr noundef nonnull %54, i64 noundef %58, ptr noundef nonnull %seen.i, ptr noundef nonnull %54)
  br i1 %call1.i, label %if.end.i64, label %look_at.exit.thread

if.end.i64:
  %59 = load ptr, ptr %anatomy1.i, align 8
  %tobool.not.i190.i = icmp eq ptr %59, null
  br i1 %tobool.not.i190.i, label %memory.exit.i, label %land.lhs.true.i.i

land.lhs.true.i.i:
  %itemsize.i.i = getelementptr inbounds %struct.Look, ptr %54, i64 0, i32 2, i32 2
  %60 = load i64, ptr %itemsize.i.i, align 8
  %tobool2.not.i.i65 = icmp eq i64 %60, 0
  br i1 %tobool2.not.i.i65, label %memory.exit.i, label %if.then.i.i66

if.then.i.i66:
  %61 = load ptr, ptr %54, align 8
  %62 = load i64, ptr %59, align 8
  %arrayidx.i.i67 = getelementptr inbounds i64, ptr %61, i64 %62
  %63 = load i64, ptr %arrayidx.i.i67, align 8
  %64 = inttoptr i64 %63 to ptr
  %tobool4.not.i.i = icmp eq i64 %63, 0
  br i1 %tobool4.not.i.i, label %memory.exit.i, label %cond.end.i.i

cond.end.i.i:
  %data5.i.i = getelementptr inbounds %struct.Anatomy, ptr %59, i64 0, i32 7
  %65 = load i64, ptr %data5.i.i, align 8
  %arrayidx6.i.i = getelementptr inbounds i64, ptr %64, i64 %65
  %66 = load i64, ptr %arrayidx6.i.i, align 8
  %tobool7.not.i.i68 = icmp eq i64 %66, 0
  br i1 %tobool7.not.i.i68, label %memory.exit.i, label %land.lhs.true8.i.i

land.lhs.true8.i.i:
  %context.i.i = getelementptr inbounds %struct.Anatomy, ptr %59, i64 0, i32 8
  %67 = load i64, ptr %context.i.i, align 8
  %arrayidx9.i.i = getelementptr inbounds i64, ptr %64, i64 %67
  %68 = load i64, ptr %arrayidx9.i.i, align 8
  %cmp.i191.i = icmp eq i64 %68, %66
  br i1 %cmp.i191.i, label %memory.exit.thread.i, label %memory.exit.i

memory.exit.thread.i:
  %offset.i.i = getelementptr inbounds %struct.Anatomy, ptr %59, i64 0, i32 4
  %69 = load i64, ptr %offset.i.i, align 8
  %arrayidx11.i.i = getelementptr inbounds i64, ptr %61, i64 %69
  %70 = load i64, ptr %arrayidx11.i.i, align 8
  %mul.i.i = mul i64 %70, %60
  %add.i.i = add i64 %mul.i.i, %66
  %71 = inttoptr i64 %add.i.i to ptr
  store ptr %71, ptr %address.i, align 8
  br label %lor.lhs.false4.i

memory.exit.i:
  %72 = load ptr, ptr %table, align 8
  %data16.i.i = getelementptr inbounds %struct.Torch, ptr %72, i64 0, i32 8
  %73 = load ptr, ptr %data16.i.i, align 8
  %call.i.i69 = call i32 %73(ptr noundef nonnull %54, ptr noundef nonnull %address.i)
  %tobool17.not.i.i = icmp eq i32 %call.i.i69, 0
  br i1 %tobool17.not.i.i, label %lor.lhs.false4thread-pre-split.i, label %look_at.exit.thread

lor.lhs.false4thread-pre-split.i:
  %.pr.i = load ptr, ptr %address.i, align 8
  br label %lor.lhs.false4.i

lor.lhs.false4.i:
  %74 = phi ptr [ %.pr.i, %lor.lhs.false4thread-pre-split.i ], [ %71, %memory.exit.thread.i ]
  %tobool.not.i70 = icmp eq ptr %74, null
  br i1 %tobool.not.i70, label %land.lhs.true.i, label %if.end7.i

land.lhs.true.i:
  %numel.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0162, i32 8
  %75 = load i64, ptr %numel.i, align 8
  %tobool5.not.i = icmp eq i64 %75, 0
  br i1 %tobool5.not.i, label %if.end7.i, label %look_at.exit.thread

if.end7.i:
  %address8.i = getelementptr inbounds %struct.Look, ptr %54, i64 0, i32 7
  %76 = load ptr, ptr %address8.i, align 8
  %cmp.not.i = icmp eq ptr %74, %76
  %spec.select.i = select i1 %cmp.not.i, i64 0, i64 2
  store ptr %74, ptr %address8.i, align 8
  %arrays.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0162, i32 5
  %77 = load ptr, ptr %arrays.i, align 8
  store ptr %74, ptr %77, align 8
  %78 = load ptr, ptr %table, align 8
  store i8 0, ptr %defined.i.i60, align 1
  %grad.i.i71 = getelementptr inbounds %struct.Torch, ptr %78, i64 0, i32 12
  %79 = load ptr, ptr %grad.i.i71, align 8
  %tobool.not.i192.i = icmp eq ptr %79, null
  br i1 %tobool.not.i192.i, label %if.then.i197.i, label %if.end.i.i72

if.then.i197.i:
  %80 = load ptr, ptr %grads.i.i, align 8
  %arrayidx.i198.i = getelementptr inbounds ptr, ptr %80, i64 %i.0162
  %81 = load ptr, ptr %arrayidx.i198.i, align 8
  %tobool2.not.i199.i = icmp eq ptr %81, null
  %spec.select.i.i = select i1 %tobool2.not.i199.i, ptr null, ptr %arrayidx.i198.i
  br label %gradient.exit.i75

if.end.i.i72:
  %82 = load ptr, ptr %54, align 8
  %call.i193.i = call ptr %79(ptr noundef %82)
  %83 = load ptr, ptr %anatomy1.i, align 8
  %tobool7.not.i194.i = icmp eq ptr %83, null
  br i1 %tobool7.not.i194.i, label %if.end14.i.i83, label %if.then8.i.i73

if.then8.i.i73:
  %84 = load ptr, ptr %call.i193.i, align 8
  %undefined.i.i74 = getelementptr inbounds %struct.Anatomy, ptr %83, i64 0, i32 11
  %85 = load ptr, ptr %undefined.i.i74, align 8
  %cmp.i195.i = icmp eq ptr %84, %85
  %cond13.i.i = select i1 %cmp.i195.i, ptr null, ptr %call.i193.i
  br label %gradient.exit.i75

if.end14.i.i83:
  %is_defined.i.i84 = getelementptr inbounds %struct.Torch, ptr %78, i64 0, i32 1
  %86 = load ptr, ptr %is_defined.i.i84, align 8
  %call15.i.i85 = call i32 %86(ptr noundef %call.i193.i, ptr noundef nonnull %defined.i.i60)
  %tobool16.i.i86 = icmp eq i32 %call15.i.i85, 0
  %87 = load i8, ptr %defined.i.i60, align 1
  %tobool17.i.i87 = icmp ne i8 %87, 0
  %or.cond.i.i88 = select i1 %tobool16.i.i86, i1 %tobool17.i.i87, i1 false
  %cond21.i.i = select i1 %or.cond.i.i88, ptr %call.i193.i, ptr null
  br label %gradient.exit.i75

gradient.exit.i75:
  %retval.1.i196.i = phi ptr [ %spec.select.i.i, %if.then.i197.i ], [ %cond13.i.i, %if.then8.i.i73 ], [ %cond21.i.i, %if.end14.i.i83 ]
  %present.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0162, i32 7
  %88 = load ptr, ptr %present.i, align 8
  %89 = load i64, ptr %88, align 8
  %cmp13.i = icmp ne ptr %retval.1.i196.i, null
  %conv14.i = zext i1 %cmp13.i to i64
  %cmp15.not.i = icmp ne i64 %89, %conv14.i
  %or18.i = zext i1 %cmp15.not.i to i64
  %found.1.i = or disjoint i64 %spec.select.i, %or18.i
  store i64 %conv14.i, ptr %88, align 8
  %copied.i76 = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0162, i32 12
  %90 = load i64, ptr %copied.i76, align 8
  %tobool24.not.i = icmp eq i64 %90, 0
  br i1 %tobool24.not.i, label %if.else.i, label %if.then25.i

if.then25.i:
  %incdec.ptr26.i = getelementptr inbounds %struct.Look, ptr %54, i64 2
  %address27.i = getelementptr inbounds %struct.Look, ptr %54, i64 1, i32 7
  %91 = load ptr, ptr %address27.i, align 8
  %92 = load ptr, ptr %arrays.i, align 8
  %arrayidx29.i = getelementptr inbounds ptr, ptr %92, i64 1
  store ptr %91, ptr %arrayidx29.i, align 8
  br label %if.end58.i

if.else.i:
  br i1 %cmp13.i, label %if.then31.i, label %if.end58.i

if.then31.i:
  %grad_seen.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0162, i32 11
  %grad_dtype.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0162, i32 10
  %93 = load i64, ptr %grad_dtype.i, align 8
  %call33.i = call fastcc i1 @fits(ptr noundef nonnull %table, ptr noundef nonnull %retval.1.i196.i, i64 noundef %93, ptr noundef nonnull %grad_seen.i, ptr noundef nonnull %54)
  br i1 %call33.i, label %if.end35.i, label %look_at.exit.thread

if.end35.i:
  %94 = load ptr, ptr %anatomy1.i, align 8
  %tobool.not.i102 = icmp eq ptr %94, null
  br i1 %tobool.not.i102, label %memory.exit, label %land.lhs.true.i103

land.lhs.true.i103:
  %itemsize.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0162, i32 11, i32 2
  %95 = load i64, ptr %itemsize.i, align 8
  %tobool2.not.i104 = icmp eq i64 %95, 0
  br i1 %tobool2.not.i104, label %memory.exit, label %if.then.i105

if.then.i105:
  %96 = load ptr, ptr %retval.1.i196.i, align 8
  %97 = load i64, ptr %94, align 8
  %arrayidx.i106 = getelementptr inbounds i64, ptr %96, i64 %97
  %98 = load i64, ptr %arrayidx.i106, align 8
  %99 = inttoptr i64 %98 to ptr
  %tobool4.not.i = icmp eq i64 %98, 0
  br i1 %tobool4.not.i, label %memory.exit, label %cond.end.i107

cond.end.i107:
  %data5.i = getelementptr inbounds %struct.Anatomy, ptr %94, i64 0, i32 7
  %100 = load i64, ptr %data5.i, align 8
  %arrayidx6.i = getelementptr inbounds i64, ptr %99, i64 %100
  %101 = load i64, ptr %arrayidx6.i, align 8
  %tobool7.not.i108 = icmp eq i64 %101, 0
  br i1 %tobool7.not.i108, label %memory.exit, label %land.lhs.true8.i

land.lhs.true8.i:
  %context.i = getelementptr inbounds %struct.Anatomy, ptr %94, i64 0, i32 8
  %102 = load i64, ptr %context.i, align 8
  %arrayidx9.i = getelementptr inbounds i64, ptr %99, i64 %102
  %103 = load i64, ptr %arrayidx9.i, align 8
  %cmp.i109 = icmp eq i64 %103, %101
  br i1 %cmp.i109, label %memory.exit.thread, label %memory.exit

memory.exit.thread:
  %offset.i = getelementptr inbounds %struct.Anatomy, ptr %94, i64 0, i32 4
  %104 = load i64, ptr %offset.i, align 8
  %arrayidx11.i = getelementptr inbounds i64, ptr %96, i64 %104
  %105 = load i64, ptr %arrayidx11.i, align 8
  %mul.i112 = mul i64 %105, %95
  %add.i113 = add i64 %mul.i112, %101
  %106 = inttoptr i64 %add.i113 to ptr
  store ptr %106, ptr %address.i, align 8
  br label %lor.lhs.false37.i

memory.exit:
  %107 = load ptr, ptr %table, align 8
  %data16.i = getelementptr inbounds %struct.Torch, ptr %107, i64 0, i32 8
  %108 = load ptr, ptr %data16.i, align 8
  %call.i110 = call i32 %108(ptr noundef nonnull %retval.1.i196.i, ptr noundef nonnull %address.i)
  %tobool17.not.i = icmp eq i32 %call.i110, 0
  br i1 %tobool17.not.i, label %lor.lhs.false37.ithread-pre-split, label %look_at.exit.thread

lor.lhs.false37.ithread-pre-split:
  %.pr = load ptr, ptr %address.i, align 8
  br label %lor.lhs.false37.i

lor.lhs.false37.i:
  %109 = phi ptr [ %.pr, %lor.lhs.false37.ithread-pre-split ], [ %106, %memory.exit.thread ]
  %tobool38.not.i = icmp eq ptr %109, null
  br i1 %tobool38.not.i, label %land.lhs.true39.i, label %if.end43.i

land.lhs.true39.i:
  %numel40.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0162, i32 8
  %110 = load i64, ptr %numel40.i, align 8
  %tobool41.not.i = icmp eq i64 %110, 0
  br i1 %tobool41.not.i, label %if.end43.i, label %look_at.exit.thread

if.end43.i:
  %111 = load ptr, ptr %arrays.i, align 8
  %arrayidx45.i81 = getelementptr inbounds ptr, ptr %111, i64 1
  %112 = load ptr, ptr %arrayidx45.i81, align 8
  %cmp46.not.i = icmp eq ptr %109, %112
  br i1 %cmp46.not.i, label %if.else53.i, label %land.lhs.true48.i

land.lhs.true48.i:
  %113 = ptrtoint ptr %109 to i64
  %bytes.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0162, i32 9
  %114 = load i64, ptr %bytes.i, align 8
  %add.i82 = add i64 %114, %113
  %115 = load i64, ptr %n_written.i, align 8
  %cmp19.i = icmp sgt i64 %115, 0
  br i1 %cmp19.i, label %while.body.lr.ph.i, label %while.end.i

while.body.lr.ph.i:
  %116 = load ptr, ptr %written.i, align 8
  br label %while.body.i

while.body.i:
  %low.021.i = phi i64 [ 0, %while.body.lr.ph.i ], [ %low.1.i, %while.body.i ]
  %high.020.i = phi i64 [ %115, %while.body.lr.ph.i ], [ %high.1.i, %while.body.i ]
  %add.i98 = add nsw i64 %high.020.i, %low.021.i
  %div.i = sdiv i64 %add.i98, 2
  %mul.i = shl nsw i64 %div.i, 1
  %add1.i = or disjoint i64 %mul.i, 1
  %arrayidx.i99 = getelementptr inbounds i64, ptr %116, i64 %add1.i
  %117 = load i64, ptr %arrayidx.i99, align 8
  %cmp2.i = icmp ugt i64 %117, %113
  %add3.i = add nsw i64 %div.i, 1
  %high.1.i = select i1 %cmp2.i, i64 %div.i, i64 %high.020.i
  %low.1.i = select i1 %cmp2.i, i64 %low.021.i, i64 %add3.i
  %cmp.i100 = icmp slt i64 %low.1.i, %high.1.i
  br i1 %cmp.i100, label %while.body.i, label %while.end.i

while.end.i:
  %low.0.lcssa.i = phi i64 [ 0, %land.lhs.true48.i ], [ %low.1.i, %while.body.i ]
  %cmp5.i = icmp slt i64 %low.0.lcssa.i, %115
  br i1 %cmp5.i, label %written.exit, label %if.else53.i

written.exit:
  %118 = load ptr, ptr %written.i, align 8
  %mul7.i = shl nsw i64 %low.0.lcssa.i, 1
  %arrayidx8.i97 = getelementptr inbounds i64, ptr %118, i64 %mul7.i
  %119 = load i64, ptr %arrayidx8.i97, align 8
  %cmp9.i = icmp ult i64 %119, %add.i82
  br i1 %cmp9.i, label %if.then51.i, label %if.else53.i

if.then51.i:
  %or52.i = or disjoint i64 %or18.i, 2
  br label %if.end58.i

if.else53.i:
  store ptr %109, ptr %arrayidx45.i81, align 8
  br label %if.end58.i

if.end58.i:
  %found.4.i = phi i64 [ %found.1.i, %if.then25.i ], [ %found.1.i, %if.else.i ], [ %or52.i, %if.then51.i ], [ %found.1.i, %if.else53.i ]
  %look.0.i = phi ptr [ %incdec.ptr26.i, %if.then25.i ], [ %incdec.ptr.i, %if.else.i ], [ %incdec.ptr.i, %if.then51.i ], [ %incdec.ptr.i, %if.else53.i ]
  %states.i77 = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0162, i32 13
  %120 = load i64, ptr %states.i77, align 8
  %cmp59.not271.i = icmp sgt i64 %120, 0
  br i1 %cmp59.not271.i, label %for.body.i79, label %for.cond79.preheader.i

for.cond79.preheader.i:
  %look.1.lcssa.i = phi ptr [ %look.0.i, %if.end58.i ], [ %incdec.ptr75.i, %if.end71.i ]
  %kept.i78 = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0162, i32 14
  %121 = load i64, ptr %kept.i78, align 8
  %cmp80.not274.i = icmp sgt i64 %121, 0
  br i1 %cmp80.not274.i, label %for.body83.lr.ph.i, label %look_at.exit.thread118

look_at.exit.thread118:
  br label %if.end

for.body83.lr.ph.i:
  %values.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0162, i32 6
  br label %for.body83.i

for.body.i79:
  %i.0273.i = phi i64 [ %inc.i80, %if.end71.i ], [ 0, %if.end58.i ]
  %look.1272.i = phi ptr [ %incdec.ptr75.i, %if.end71.i ], [ %look.0.i, %if.end58.i ]
  %holder.i200.i = getelementptr inbounds %struct.Look, ptr %look.1272.i, i64 0, i32 1
  %122 = load ptr, ptr %holder.i200.i, align 8
  %tobool.not.i201.i = icmp eq ptr %122, null
  br i1 %tobool.not.i201.i, label %lor.lhs.false62.i, label %held.exit204.i

held.exit204.i:
  %123 = load ptr, ptr %122, align 8
  %124 = load ptr, ptr %look.1272.i, align 8
  %cmp.i203.i = icmp eq ptr %123, %124
  br i1 %cmp.i203.i, label %lor.lhs.false62.i, label %look_at.exit.thread

lor.lhs.false62.i:
  %125 = load ptr, ptr %anatomy1.i, align 8
  %tobool.not.i206.i = icmp eq ptr %125, null
  br i1 %tobool.not.i206.i, label %memory.exit231.i, label %land.lhs.true.i207.i

land.lhs.true.i207.i:
  %itemsize.i208.i = getelementptr inbounds %struct.Look, ptr %look.1272.i, i64 0, i32 2, i32 2
  %126 = load i64, ptr %itemsize.i208.i, align 8
  %tobool2.not.i209.i = icmp eq i64 %126, 0
  br i1 %tobool2.not.i209.i, label %memory.exit231.i, label %if.then.i210.i

if.then.i210.i:
  %127 = load ptr, ptr %look.1272.i, align 8
  %128 = load i64, ptr %125, align 8
  %arrayidx.i211.i = getelementptr inbounds i64, ptr %127, i64 %128
  %129 = load i64, ptr %arrayidx.i211.i, align 8
  %130 = inttoptr i64 %129 to ptr
  %tobool4.not.i212.i = icmp eq i64 %129, 0
  br i1 %tobool4.not.i212.i, label %memory.exit231.i, label %cond.end.i213.i

cond.end.i213.i:
  %data5.i214.i = getelementptr inbounds %struct.Anatomy, ptr %125, i64 0, i32 7
  %131 = load i64, ptr %data5.i214.i, align 8
  %arrayidx6.i215.i = getelementptr inbounds i64, ptr %130, i64 %131
  %132 = load i64, ptr %arrayidx6.i215.i, align 8
  %tobool7.not.i216.i = icmp eq i64 %132, 0
  br i1 %tobool7.not.i216.i, label %memory.exit231.i, label %land.lhs.true8.i217.i

land.lhs.true8.i217.i:
  %context.i218.i = getelementptr inbounds %struct.Anatomy, ptr %125, i64 0, i32 8
  %133 = load i64, ptr %context.i218.i, align 8
  %arrayidx9.i219.i = getelementptr inbounds i64, ptr %130, i64 %133
  %134 = load i64, ptr %arrayidx9.i219.i, align 8
  %cmp.i220.i = icmp eq i64 %134, %132
  br i1 %cmp.i220.i, label %memory.exit231.thread.i, label %memory.exit231.i

memory.exit231.thread.i:
  %offset.i227.i = getelementptr inbounds %struct.Anatomy, ptr %125, i64 0, i32 4
  %135 = load i64, ptr %offset.i227.i, align 8
  %arrayidx11.i228.i = getelementptr inbounds i64, ptr %127, i64 %135
  %136 = load i64, ptr %arrayidx11.i228.i, align 8
  %mul.i229.i = mul i64 %136, %126
  %add.i230.i = add i64 %mul.i229.i, %132
  %137 = inttoptr i64 %add.i230.i to ptr
  store ptr %137, ptr %address.i, align 8
  br label %if.end66.i

memory.exit231.i:
  %138 = load ptr, ptr %table, align 8
  %data16.i222.i = getelementptr inbounds %struct.Torch, ptr %138, i64 0, i32 8
  %139 = load ptr, ptr %data16.i222.i, align 8
  %call.i223.i = call i32 %139(ptr noundef nonnull %look.1272.i, ptr noundef nonnull %address.i)
  %tobool17.not.i224.i = icmp eq i32 %call.i223.i, 0
  br i1 %tobool17.not.i224.i, label %memory.exit231.if.end66_crit_edge.i, label %look_at.exit.thread

memory.exit231.if.end66_crit_edge.i:
  %.pre.i = load ptr, ptr %address.i, align 8
  br label %if.end66.i

if.end66.i:
  %140 = phi ptr [ %.pre.i, %memory.exit231.if.end66_crit_edge.i ], [ %137, %memory.exit231.thread.i ]
  %address67.i = getelementptr inbounds %struct.Look, ptr %look.1272.i, i64 0, i32 7
  %141 = load ptr, ptr %address67.i, align 8
  %cmp68.not.i = icmp eq ptr %140, %141
  br i1 %cmp68.not.i, label %if.end71.i, label %look_at.exit.thread

if.end71.i:
  %142 = load ptr, ptr %arrays.i, align 8
  %143 = getelementptr ptr, ptr %142, i64 %i.0273.i
  %arrayidx74.i = getelementptr ptr, ptr %143, i64 2
  store ptr %140, ptr %arrayidx74.i, align 8
  %inc.i80 = add nuw nsw i64 %i.0273.i, 1
  %incdec.ptr75.i = getelementptr inbounds %struct.Look, ptr %look.1272.i, i64 1
  %144 = load i64, ptr %states.i77, align 8
  %cmp59.not.i = icmp slt i64 %inc.i80, %144
  br i1 %cmp59.not.i, label %for.body.i79, label %for.cond79.preheader.i

for.body83.i:
  %145 = phi i64 [ %121, %for.body83.lr.ph.i ], [ %170, %for.inc109.i ]
  %i78.0278.i = phi i64 [ 0, %for.body83.lr.ph.i ], [ %inc110.i, %for.inc109.i ]
  %look.2276.i = phi ptr [ %look.1.lcssa.i, %for.body83.lr.ph.i ], [ %incdec.ptr111.i, %for.inc109.i ]
  %found.5275.i = phi i64 [ %found.4.i, %for.body83.lr.ph.i ], [ %found.7.i, %for.inc109.i ]
  %146 = load ptr, ptr %look.2276.i, align 8
  %tobool84.not.i = icmp eq ptr %146, null
  br i1 %tobool84.not.i, label %for.inc109.i, label %if.end86.i

if.end86.i:
  %holder.i232.i = getelementptr inbounds %struct.Look, ptr %look.2276.i, i64 0, i32 1
  %147 = load ptr, ptr %holder.i232.i, align 8
  %tobool.not.i233.i = icmp eq ptr %147, null
  br i1 %tobool.not.i233.i, label %lor.lhs.false88.i, label %held.exit236.i

held.exit236.i:
  %148 = load ptr, ptr %147, align 8
  %cmp.i235.i = icmp eq ptr %148, %146
  br i1 %cmp.i235.i, label %lor.lhs.false88.i, label %look_at.exit.thread

lor.lhs.false88.i:
  %149 = load ptr, ptr %anatomy1.i, align 8
  %tobool.not.i238.i = icmp eq ptr %149, null
  br i1 %tobool.not.i238.i, label %memory.exit263.i, label %land.lhs.true.i239.i

land.lhs.true.i239.i:
  %itemsize.i240.i = getelementptr inbounds %struct.Look, ptr %look.2276.i, i64 0, i32 2, i32 2
  %150 = load i64, ptr %itemsize.i240.i, align 8
  %tobool2.not.i241.i = icmp eq i64 %150, 0
  br i1 %tobool2.not.i241.i, label %memory.exit263.i, label %if.then.i242.i

if.then.i242.i:
  %151 = load i64, ptr %149, align 8
  %arrayidx.i243.i = getelementptr inbounds i64, ptr %146, i64 %151
  %152 = load i64, ptr %arrayidx.i243.i, align 8
  %153 = inttoptr i64 %152 to ptr
  %tobool4.not.i244.i = icmp eq i64 %152, 0
  br i1 %tobool4.not.i244.i, label %memory.exit263.i, label %cond.end.i245.i

cond.end.i245.i:
  %data5.i246.i = getelementptr inbounds %struct.Anatomy, ptr %149, i64 0, i32 7
  %154 = load i64, ptr %data5.i246.i, align 8
  %arrayidx6.i247.i = getelementptr inbounds i64, ptr %153, i64 %154
  %155 = load i64, ptr %arrayidx6.i247.i, align 8
  %tobool7.not.i248.i = icmp eq i64 %155, 0
  br i1 %tobool7.not.i248.i, label %memory.exit263.i, label %land.lhs.true8.i249.i

land.lhs.true8.i249.i:
  %context.i250.i = getelementptr inbounds %struct.Anatomy, ptr %149, i64 0, i32 8
  %156 = load i64, ptr %context.i250.i, align 8
  %arrayidx9.i251.i = getelementptr inbounds i64, ptr %153, i64 %156
  %157 = load i64, ptr %arrayidx9.i251.i, align 8
  %cmp.i252.i = icmp eq i64 %157, %155
  br i1 %cmp.i252.i, label %memory.exit263.thread.i, label %memory.exit263.i

memory.exit263.thread.i:
  %offset.i259.i = getelementptr inbounds %struct.Anatomy, ptr %149, i64 0, i32 4
  %158 = load i64, ptr %offset.i259.i, align 8
  %arrayidx11.i260.i = getelementptr inbounds i64, ptr %146, i64 %158
  %159 = load i64, ptr %arrayidx11.i260.i, align 8
  %mul.i261.i = mul i64 %159, %150
  %add.i262.i = add i64 %mul.i261.i, %155
  %160 = inttoptr i64 %add.i262.i to ptr
  store ptr %160, ptr %address.i, align 8
  br label %if.end92.i

memory.exit263.i:
  %161 = load ptr, ptr %table, align 8
  %data16.i254.i = getelementptr inbounds %struct.Torch, ptr %161, i64 0, i32 8
  %162 = load ptr, ptr %data16.i254.i, align 8
  %call.i255.i = call i32 %162(ptr noundef nonnull %look.2276.i, ptr noundef nonnull %address.i)
  %tobool17.not.i256.i = icmp eq i32 %call.i255.i, 0
  br i1 %tobool17.not.i256.i, label %memory.exit263.if.end92_crit_edge.i, label %look_at.exit.thread

memory.exit263.if.end92_crit_edge.i:
  %.pre284.i = load ptr, ptr %address.i, align 8
  br label %if.end92.i

if.end92.i:
  %163 = phi ptr [ %.pre284.i, %memory.exit263.if.end92_crit_edge.i ], [ %160, %memory.exit263.thread.i ]
  %address93.i = getelementptr inbounds %struct.Look, ptr %look.2276.i, i64 0, i32 7
  %164 = load ptr, ptr %address93.i, align 8
  %cmp94.not.i = icmp eq ptr %163, %164
  br i1 %cmp94.not.i, label %if.end97.i, label %look_at.exit.thread

if.end97.i:
  %dtype98.i = getelementptr inbounds %struct.Look, ptr %look.2276.i, i64 0, i32 3
  %165 = load i64, ptr %dtype98.i, align 8
  %tobool99.not.i = icmp eq i64 %165, 0
  br i1 %tobool99.not.i, label %cond.false.i, label %cond.true.i

cond.true.i:
  %166 = load double, ptr %163, align 8
  br label %cond.end.i

cond.false.i:
  %167 = load float, ptr %163, align 4
  %conv100.i = fpext float %167 to double
  br label %cond.end.i

cond.end.i:
  %cond.i = phi double [ %166, %cond.true.i ], [ %conv100.i, %cond.false.i ]
  %168 = load ptr, ptr %values.i, align 8
  %arrayidx101.i = getelementptr inbounds double, ptr %168, i64 %i78.0278.i
  %169 = load double, ptr %arrayidx101.i, align 8
  %cmp102.i = fcmp une double %cond.i, %169
  %or105.i = zext i1 %cmp102.i to i64
  %found.6.i = or i64 %found.5275.i, %or105.i
  store double %cond.i, ptr %arrayidx101.i, align 8
  %.pre285.i = load i64, ptr %kept.i78, align 8
  br label %for.inc109.i

for.inc109.i:
  %170 = phi i64 [ %.pre285.i, %cond.end.i ], [ %145, %for.body83.i ]
  %found.7.i = phi i64 [ %found.6.i, %cond.end.i ], [ %found.5275.i, %for.body83.i ]
  %inc110.i = add nuw nsw i64 %i78.0278.i, 1
  %incdec.ptr111.i = getelementptr inbounds %struct.Look, ptr %look.2276.i, i64 1
  %cmp80.not.i = icmp slt i64 %inc110.i, %170
  br i1 %cmp80.not.i, label %for.body83.i, label %look_at.exit

look_at.exit.thread:
  br label %cleanup29

look_at.exit:
  br label %if.end

if.end:
  %retval.5.i121 = phi i64 [ %found.4.i, %look_at.exit.thread118 ], [ %found.7.i, %look_at.exit ]
  %or = or i64 %retval.5.i121, %found.0164
  %first_line = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0162, i32 15
  store i64 %line.0163, ptr %first_line, align 8
  %171 = load ptr, ptr %present.i, align 8
  %172 = load i64, ptr %171, align 8
  %tobool.not = icmp eq i64 %172, 0
  br i1 %tobool.not, label %for.inc, label %if.then2

if.then2:
  %numel = getelementptr inbounds %struct.Segment, ptr %2, i64 %i.0162, i32 8
  %173 = load i64, ptr %numel, align 8
  %sub = add nsw i64 %173, 15
  %div = sdiv i64 %sub, 16
  %add3 = add nsw i64 %div, %line.0163
  br label %for.inc

for.inc:
  %line.2 = phi i64 [ %add3, %if.then2 ], [ %line.0163, %if.end ]
  %inc = add nuw nsw i64 %i.0162, 1
  %174 = load i64, ptr %n_segments, align 8
  %cmp.not = icmp slt i64 %inc, %174
  br i1 %cmp.not, label %for.body, label %for.cond9.preheader.loopexit

for.cond9.preheader.loopexit:
  %line.0.lcssa = phi i64 [ 0, %entry ], [ %line.2, %for.inc ]
  %found.0.lcssa = phi i64 [ 0, %entry ], [ %or, %for.inc ]
  %n_absent = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 5
  %175 = load i64, ptr %n_absent, align 8
  %cmp10.not166 = icmp sgt i64 %175, 0
  br i1 %cmp10.not166, label %for.body12.lr.ph, label %for.end28

for.body12.lr.ph:
  %absent = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 4
  %anatomy.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 1
  %grads.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 6
  br label %for.body12

for.body12:
  %i8.0167 = phi i64 [ 0, %for.body12.lr.ph ], [ %inc25, %if.end20 ]
  %176 = load ptr, ptr %absent, align 8
  %arrayidx13 = getelementptr inbounds %struct.Look, ptr %176, i64 %i8.0167
  %holder.i90 = getelementptr inbounds %struct.Look, ptr %176, i64 %i8.0167, i32 1
  %177 = load ptr, ptr %holder.i90, align 8
  %tobool.not.i91 = icmp eq ptr %177, null
  br i1 %tobool.not.i91, label %lor.lhs.false, label %held.exit

held.exit:
  %178 = load ptr, ptr %177, align 8
  %179 = load ptr, ptr %arrayidx13, align 8
  %cmp.i92 = icmp eq ptr %178, %179
  br i1 %cmp.i92, label %lor.lhs.false, label %cleanup29

lor.lhs.false:
  %180 = load i64, ptr %n_segments, align 8
  %181 = load ptr, ptr %table, align 8
  store i8 0, ptr %defined.i, align 1
  %grad.i = getelementptr inbounds %struct.Torch, ptr %181, i64 0, i32 12
  %182 = load ptr, ptr %grad.i, align 8
  %tobool.not.i93 = icmp eq ptr %182, null
  br i1 %tobool.not.i93, label %if.then.i, label %if.end.i94

if.then.i:
  %183 = load ptr, ptr %grads.i, align 8
  %184 = getelementptr ptr, ptr %183, i64 %180
  %arrayidx.i = getelementptr ptr, ptr %184, i64 %i8.0167
  %185 = load ptr, ptr %arrayidx.i, align 8
  %tobool2.not.i = icmp eq ptr %185, null
  br i1 %tobool2.not.i, label %gradient.exit.thread, label %gradient.exit.thread131

if.end.i94:
  %186 = load ptr, ptr %arrayidx13, align 8
  %call.i = call ptr %182(ptr noundef %186)
  %187 = load ptr, ptr %anatomy.i, align 8
  %tobool7.not.i = icmp eq ptr %187, null
  br i1 %tobool7.not.i, label %if.end14.i, label %if.then8.i

if.then8.i:
  %188 = load ptr, ptr %call.i, align 8
  %undefined.i = getelementptr inbounds %struct.Anatomy, ptr %187, i64 0, i32 11
  %189 = load ptr, ptr %undefined.i, align 8
  %cmp.i95 = icmp eq ptr %188, %189
  br i1 %cmp.i95, label %gradient.exit.thread, label %gradient.exit.thread131

if.end14.i:
  %is_defined.i = getelementptr inbounds %struct.Torch, ptr %181, i64 0, i32 1
  %190 = load ptr, ptr %is_defined.i, align 8
  %call15.i = call i32 %190(ptr noundef %call.i, ptr noundef nonnull %defined.i)
  %tobool16.i = icmp eq i32 %call15.i, 0
  %191 = load i8, ptr %defined.i, align 1
  %tobool17.i = icmp ne i8 %191, 0
  %or.cond.i = select i1 %tobool16.i, i1 %tobool17.i, i1 false
  br i1 %or.cond.i, label %gradient.exit, label %gradient.exit.thread

gradient.exit.thread:
  br label %if.end20

gradient.exit.thread131:
  br label %cleanup29

gradient.exit:
  %tobool18.not = icmp eq ptr %call.i, null
  br i1 %tobool18.not, label %if.end20, label %cleanup29

if.end20:
  %inc25 = add nuw nsw i64 %i8.0167, 1
  %192 = load i64, ptr %n_absent, align 8
  %cmp10.not = icmp slt i64 %inc25, %192
  br i1 %cmp10.not, label %for.body12, label %for.end28

for.end28:
  %lines = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 10
  store i64 %line.0.lcssa, ptr %lines, align 8
  br label %cleanup29

cleanup29:
  %retval.6 = phi i64 [ %found.0.lcssa, %for.end28 ], [ -1, %gradient.exit.thread131 ], [ -1, %look_at.exit.thread ], [ -1, %gradient.exit ], [ -1, %held.exit ]
  ret i64 %retval.6
}

define i32 @measure(ptr noundef %table) nounwind "no-builtins" {
entry:
  %0 = load ptr, ptr %table, align 8
  %1 = load ptr, ptr %0, align 8
  %lines = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 10
  %2 = load i64, ptr %lines, align 8
  %sub.i = add nsw i64 %2, 255
  %div.i = sdiv i64 %sub.i, 256
  %grain = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 11
  %3 = load i64, ptr %grain, align 8
  %sub.i6 = add nsw i64 %3, 255
  %div.i7 = sdiv i64 %sub.i6, 256
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
  %mul = shl nsw i64 %block.08, 8
  %add = add i64 %block.08, 1
  %mul1 = shl nsw i64 %add, 8
  %cmp72.i = icmp sgt i64 %1, 1
  br i1 %cmp72.i, label %while.body.lr.ph.i, label %for.cond.preheader.i

while.body.lr.ph.i:
  %2 = load ptr, ptr %segments.i, align 8
  br label %while.body.i

for.cond.preheader.i:
  %low.0.lcssa.i = phi i64 [ 0, %for.body ], [ %low.0.div.i, %while.body.i ]
  %cmp375.i = icmp slt i64 %low.0.lcssa.i, %1
  br i1 %cmp375.i, label %for.body.i.preheader, label %walk.exit

for.body.i.preheader:
  %3 = load ptr, ptr %segments.i, align 8
  %first_line6.i12 = getelementptr inbounds %struct.Segment, ptr %3, i64 %low.0.lcssa.i, i32 15
  %4 = load i64, ptr %first_line6.i12, align 8
  %cmp7.not.i13 = icmp slt i64 %4, %mul1
  br i1 %cmp7.not.i13, label %if.end9.i, label %walk.exit

while.body.i:
  %low.074.i = phi i64 [ 0, %while.body.lr.ph.i ], [ %low.0.div.i, %while.body.i ]
  %high.073.i = phi i64 [ %1, %while.body.lr.ph.i ], [ %div.high.0.i, %while.body.i ]
  %add.i = add nsw i64 %high.073.i, %low.074.i
  %div.i = sdiv i64 %add.i, 2
  %first_line.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %div.i, i32 15
  %5 = load i64, ptr %first_line.i, align 8
  %cmp1.not.i = icmp sgt i64 %5, %mul
  %div.high.0.i = select i1 %cmp1.not.i, i64 %div.i, i64 %high.073.i
  %low.0.div.i = select i1 %cmp1.not.i, i64 %low.074.i, i64 %div.i
  %sub.i = sub nsw i64 %div.high.0.i, %low.0.div.i
  %cmp.i = icmp sgt i64 %sub.i, 1
  br i1 %cmp.i, label %while.body.i, label %for.cond.preheader.i

for.body.i:
  %6 = load ptr, ptr %segments.i, align 8
  %first_line6.i = getelementptr inbounds %struct.Segment, ptr %6, i64 %inc.i, i32 15
  %7 = load i64, ptr %first_line6.i, align 8
  %cmp7.not.i = icmp slt i64 %7, %mul1
  br i1 %cmp7.not.i, label %if.end9.i, label %walk.exit

if.end9.i:
  %8 = phi i64 [ %7, %for.body.i ], [ %4, %for.body.i.preheader ]
  %9 = phi ptr [ %6, %for.body.i ], [ %3, %for.body.i.preheader ]
  %total.076.i15 = phi double [ %total.3.ph.i, %for.body.i ], [ 0.000000e+00, %for.body.i.preheader ]
  %i.077.i14 = phi i64 [ %inc.i, %for.body.i ], [ %low.0.lcssa.i, %for.body.i.preheader ]
  %10 = phi i64 [ %16, %for.body.i ], [ %0, %for.body.i.preheader ]
  %present.i = getelementptr inbounds %struct.Segment, ptr %9, i64 %i.077.i14, i32 7
  %11 = load ptr, ptr %present.i, align 8
  %12 = load i64, ptr %11, align 8
  %tobool.not.i = icmp eq i64 %12, 0
  br i1 %tobool.not.i, label %for.inc.i, label %if.end11.i

if.end11.i:
  %sub13.i = sub nsw i64 %mul, %8
  %mul.i = shl nsw i64 %sub13.i, 4
  %sub15.i = sub nsw i64 %mul1, %8
  %mul16.i = shl nsw i64 %sub15.i, 4
  %spec.store.select.i = tail call i64 @llvm.smax.i64(i64 %mul.i, i64 0)
  %numel.i = getelementptr inbounds %struct.Segment, ptr %9, i64 %i.077.i14, i32 8
  %13 = load i64, ptr %numel.i, align 8
  %spec.select.i = tail call i64 @llvm.smin.i64(i64 %mul16.i, i64 %13)
  %cmp24.not.i = icmp slt i64 %spec.store.select.i, %spec.select.i
  br i1 %cmp24.not.i, label %if.end26.i, label %for.inc.i

if.end26.i:
  %square.i = getelementptr inbounds %struct.Segment, ptr %9, i64 %i.077.i14, i32 3
  %14 = load ptr, ptr %square.i, align 8
  %arrays.i = getelementptr inbounds %struct.Segment, ptr %9, i64 %i.077.i14, i32 5
  %15 = load ptr, ptr %arrays.i, align 8
  %call.i = tail call double %14(ptr noundef %15, i64 noundef %spec.store.select.i, i64 noundef %spec.select.i)
  %add29.i = fadd double %total.076.i15, %call.i
  %.pre9 = load i64, ptr %n_segments.i, align 8
  br label %for.inc.i

for.inc.i:
  %16 = phi i64 [ %.pre9, %if.end26.i ], [ %10, %if.end11.i ], [ %10, %if.end9.i ]
  %total.3.ph.i = phi double [ %add29.i, %if.end26.i ], [ %total.076.i15, %if.end11.i ], [ %total.076.i15, %if.end9.i ]
  %inc.i = add nsw i64 %i.077.i14, 1
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
  %n_segments = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 3
  %bump_version = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 11
  %1 = load ptr, ptr %bump_version, align 8
  %tobool.not96 = icmp eq ptr %1, null
  br i1 %tobool.not96, label %for.cond.cleanup, label %land.rhs.lr.ph

land.rhs.lr.ph:
  %segments = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 2
  br label %land.rhs

land.rhs:
  %2 = phi ptr [ %1, %land.rhs.lr.ph ], [ %13, %for.inc ]
  %i.097 = phi i64 [ 0, %land.rhs.lr.ph ], [ %inc, %for.inc ]
  %3 = load i64, ptr %n_segments, align 8
  %cmp = icmp slt i64 %i.097, %3
  br i1 %cmp, label %for.body, label %for.cond.cleanup

for.cond.cleanup:
  %4 = load ptr, ptr %0, align 8
  %lines = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 10
  %5 = load i64, ptr %lines, align 8
  %grain = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 11
  %6 = load i64, ptr %grain, align 8
  %call = tail call i32 %4(i64 noundef 0, i64 noundef %5, i64 noundef %6, ptr noundef nonnull @update_lines, ptr noundef nonnull %table)
  %tobool6.not = icmp eq i32 %call, 0
  br i1 %tobool6.not, label %for.cond10.preheader, label %cleanup54

for.cond10.preheader:
  %7 = load i64, ptr %n_segments, align 8
  %cmp12103 = icmp sgt i64 %7, 0
  br i1 %cmp12103, label %for.body14.lr.ph, label %cleanup54

for.body14.lr.ph:
  %segments15 = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 2
  %8 = load ptr, ptr %segments15, align 8
  br label %for.body14

for.body:
  %9 = load ptr, ptr %segments, align 8
  %present = getelementptr inbounds %struct.Segment, ptr %9, i64 %i.097, i32 7
  %10 = load ptr, ptr %present, align 8
  %11 = load i64, ptr %10, align 8
  %tobool2.not = icmp eq i64 %11, 0
  br i1 %tobool2.not, label %for.inc, label %if.then

if.then:
  %looks = getelementptr inbounds %struct.Segment, ptr %9, i64 %i.097, i32 4
  %12 = load ptr, ptr %looks, align 8
  tail call void %2(ptr noundef %12)
  %.pre = load ptr, ptr %bump_version, align 8
  br label %for.inc

for.inc:
  %13 = phi ptr [ %2, %for.body ], [ %.pre, %if.then ]
  %inc = add nuw nsw i64 %i.097, 1
  %tobool.not = icmp eq ptr %13, null
  br i1 %tobool.not, label %for.cond.cleanup, label %land.rhs

for.body14:
  %i9.0104 = phi i64 [ 0, %for.body14.lr.ph ], [ %inc51, %cleanup ]
  %present17 = getelementptr inbounds %struct.Segment, ptr %8, i64 %i9.0104, i32 7
  %14 = load ptr, ptr %present17, align 8
  %15 = load i64, ptr %14, align 8
  %tobool18.not = icmp eq i64 %15, 0
  br i1 %tobool18.not, label %cleanup, label %if.end20

if.end20:
  %kept = getelementptr inbounds %struct.Segment, ptr %8, i64 %i9.0104, i32 14
  %16 = load i64, ptr %kept, align 8
  %cmp2598 = icmp sgt i64 %16, 0
  br i1 %cmp2598, label %cond.end.peel, label %cleanup

cond.end.peel:
  %looks21 = getelementptr inbounds %struct.Segment, ptr %8, i64 %i9.0104, i32 4
  %17 = load ptr, ptr %looks21, align 8
  %add.ptr = getelementptr inbounds %struct.Look, ptr %17, i64 1
  %copied = getelementptr inbounds %struct.Segment, ptr %8, i64 %i9.0104, i32 12
  %18 = load i64, ptr %copied, align 8
  %add.ptr22 = getelementptr inbounds %struct.Look, ptr %add.ptr, i64 %18
  %states = getelementptr inbounds %struct.Segment, ptr %8, i64 %i9.0104, i32 13
  %19 = load i64, ptr %states, align 8
  %add.ptr23 = getelementptr inbounds %struct.Look, ptr %add.ptr22, i64 %19
  %next = getelementptr inbounds %struct.Segment, ptr %8, i64 %i9.0104, i32 2
  %values = getelementptr inbounds %struct.Segment, ptr %8, i64 %i9.0104, i32 6
  %20 = load ptr, ptr %values, align 8
  %21 = load double, ptr %20, align 8
  %add.peel = fadd double %21, 1.000000e+00
  %22 = load ptr, ptr %add.ptr23, align 8
  %tobool31.not.peel = icmp eq ptr %22, null
  br i1 %tobool31.not.peel, label %if.end39.thread93.peel, label %lor.lhs.false.peel

lor.lhs.false.peel:
  %dtype.peel = getelementptr inbounds %struct.Look, ptr %add.ptr22, i64 %19, i32 3
  %23 = load i64, ptr %dtype.peel, align 8
  %tobool32.not.peel = icmp eq i64 %23, 0
  br i1 %tobool32.not.peel, label %land.lhs.true.peel.thread, label %if.then44.peel

land.lhs.true.peel.thread:
  %conv.peel = fptrunc double %add.peel to float
  %address.peel = getelementptr inbounds %struct.Look, ptr %add.ptr22, i64 %19, i32 7
  %24 = load ptr, ptr %address.peel, align 8
  store float %conv.peel, ptr %24, align 4
  %conv36.peel = fpext float %conv.peel to double
  %25 = load ptr, ptr %values, align 8
  store double %conv36.peel, ptr %25, align 8
  br label %if.end46.peel

if.then44.peel:
  %26 = load ptr, ptr %values, align 8
  store double %add.peel, ptr %26, align 8
  %address45.peel = getelementptr inbounds %struct.Look, ptr %add.ptr22, i64 %19, i32 7
  %27 = load ptr, ptr %address45.peel, align 8
  store double %add.peel, ptr %27, align 8
  br label %if.end46.peel

if.end39.thread93.peel:
  %28 = load ptr, ptr %values, align 8
  store double %add.peel, ptr %28, align 8
  br label %if.end46.peel

if.end46.peel:
  %29 = phi ptr [ %28, %if.end39.thread93.peel ], [ %26, %if.then44.peel ], [ %25, %land.lhs.true.peel.thread ]
  %exitcond.peel.not = icmp eq i64 %16, 1
  br i1 %exitcond.peel.not, label %cleanup, label %for.body27.peel.next

for.body27.peel.next:
  %30 = load ptr, ptr %next, align 8
  %invariant.gep = getelementptr double, ptr %30, i64 -1
  br label %cond.end

cond.end:
  %k.0101 = phi i64 [ 1, %for.body27.peel.next ], [ %inc48, %if.end46 ]
  %add.ptr23.pn = phi ptr [ %add.ptr23, %for.body27.peel.next ], [ %look.099, %if.end46 ]
  %look.099 = getelementptr inbounds %struct.Look, ptr %add.ptr23.pn, i64 1
  %gep = getelementptr double, ptr %invariant.gep, i64 %k.0101
  %31 = load double, ptr %gep, align 8
  %32 = load ptr, ptr %look.099, align 8
  %tobool31.not = icmp eq ptr %32, null
  br i1 %tobool31.not, label %if.end39.thread93, label %lor.lhs.false

if.end39.thread93:
  %arrayidx3595 = getelementptr inbounds double, ptr %29, i64 %k.0101
  store double %31, ptr %arrayidx3595, align 8
  br label %if.end46

lor.lhs.false:
  %dtype = getelementptr inbounds %struct.Look, ptr %add.ptr23.pn, i64 1, i32 3
  %33 = load i64, ptr %dtype, align 8
  %tobool32.not = icmp eq i64 %33, 0
  br i1 %tobool32.not, label %land.lhs.true.thread, label %if.then44

land.lhs.true.thread:
  %conv = fptrunc double %31 to float
  %address = getelementptr inbounds %struct.Look, ptr %add.ptr23.pn, i64 1, i32 7
  %34 = load ptr, ptr %address, align 8
  store float %conv, ptr %34, align 4
  %conv36 = fpext float %conv to double
  %arrayidx38 = getelementptr inbounds double, ptr %29, i64 %k.0101
  store double %conv36, ptr %arrayidx38, align 8
  br label %if.end46

if.then44:
  %arrayidx35 = getelementptr inbounds double, ptr %29, i64 %k.0101
  store double %31, ptr %arrayidx35, align 8
  %address45 = getelementptr inbounds %struct.Look, ptr %add.ptr23.pn, i64 1, i32 7
  %35 = load ptr, ptr %address45, align 8
  store double %31, ptr %35, align 8
  br label %if.end46

if.end46:
  %inc48 = add nuw nsw i64 %k.0101, 1
  %exitcond.not = icmp eq i64 %inc48, %16
  br i1 %exitcond.not, label %cleanup, label %cond.end

cleanup:
  %inc51 = add nuw nsw i64 %i9.0104, 1
  %exitcond107.not = icmp eq i64 %inc51, %7
  br i1 %exitcond107.not, label %cleanup54, label %for.body14

cleanup54:
  %retval.0 = phi i32 [ %call, %for.cond.cleanup ], [ 0, %for.cond10.preheader ], [ 0, %cleanup ]
  ret i32 %retval.0
}

define internal void @update_lines(i64 noundef %begin, i64 noundef %end, ptr noundef readonly %table) nounwind "no-builtins" {
entry:
  %n_segments.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 3
  %0 = load i64, ptr %n_segments.i, align 8
  %cmp72.i = icmp sgt i64 %0, 1
  br i1 %cmp72.i, label %while.body.lr.ph.i, label %for.cond.preheader.i

while.body.lr.ph.i:
  %segments.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 2
  %1 = load ptr, ptr %segments.i, align 8
  br label %while.body.i

for.cond.preheader.i:
  %low.0.lcssa.i = phi i64 [ 0, %entry ], [ %low.0.div.i, %while.body.i ]
  %segments4.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 2
  %cmp375.i = icmp slt i64 %low.0.lcssa.i, %0
  br i1 %cmp375.i, label %for.body.i, label %walk.exit

while.body.i:
  %low.074.i = phi i64 [ 0, %while.body.lr.ph.i ], [ %low.0.div.i, %while.body.i ]
  %high.073.i = phi i64 [ %0, %while.body.lr.ph.i ], [ %div.high.0.i, %while.body.i ]
  %add.i = add nsw i64 %high.073.i, %low.074.i
  %div.i = sdiv i64 %add.i, 2
  %first_line.i = getelementptr inbounds %struct.Segment, ptr %1, i64 %div.i, i32 15
  %2 = load i64, ptr %first_line.i, align 8
  %cmp1.not.i = icmp sgt i64 %2, %begin
  %div.high.0.i = select i1 %cmp1.not.i, i64 %div.i, i64 %high.073.i
  %low.0.div.i = select i1 %cmp1.not.i, i64 %low.074.i, i64 %div.i
  %sub.i = sub nsw i64 %div.high.0.i, %low.0.div.i
  %cmp.i = icmp sgt i64 %sub.i, 1
  br i1 %cmp.i, label %while.body.i, label %for.cond.preheader.i

for.body.i:
  %3 = phi i64 [ %12, %for.inc.i ], [ %0, %for.cond.preheader.i ]
  %i.077.i = phi i64 [ %inc.i, %for.inc.i ], [ %low.0.lcssa.i, %for.cond.preheader.i ]
  %4 = load ptr, ptr %segments4.i, align 8
  %arrayidx5.i = getelementptr inbounds %struct.Segment, ptr %4, i64 %i.077.i
  %first_line6.i = getelementptr inbounds %struct.Segment, ptr %4, i64 %i.077.i, i32 15
  %5 = load i64, ptr %first_line6.i, align 8
  %cmp7.not.i = icmp slt i64 %5, %end
  br i1 %cmp7.not.i, label %if.end9.i, label %walk.exit

if.end9.i:
  %present.i = getelementptr inbounds %struct.Segment, ptr %4, i64 %i.077.i, i32 7
  %6 = load ptr, ptr %present.i, align 8
  %7 = load i64, ptr %6, align 8
  %tobool.not.i = icmp eq i64 %7, 0
  br i1 %tobool.not.i, label %for.inc.i, label %if.end11.i

if.end11.i:
  %sub13.i = sub nsw i64 %begin, %5
  %mul.i = shl nsw i64 %sub13.i, 4
  %sub15.i = sub nsw i64 %end, %5
  %mul16.i = shl nsw i64 %sub15.i, 4
  %spec.store.select.i = tail call i64 @llvm.smax.i64(i64 %mul.i, i64 0)
  %numel.i = getelementptr inbounds %struct.Segment, ptr %4, i64 %i.077.i, i32 8
  %8 = load i64, ptr %numel.i, align 8
  %spec.select.i = tail call i64 @llvm.smin.i64(i64 %mul16.i, i64 %8)
  %cmp24.not.i = icmp slt i64 %spec.store.select.i, %spec.select.i
  br i1 %cmp24.not.i, label %if.end26.i, label %for.inc.i

if.end26.i:
  %9 = load ptr, ptr %arrayidx5.i, align 8
  %arrays31.i = getelementptr inbounds %struct.Segment, ptr %4, i64 %i.077.i, i32 5
  %10 = load ptr, ptr %arrays31.i, align 8
  %row.i = getelementptr inbounds %struct.Segment, ptr %4, i64 %i.077.i, i32 1
  %11 = load ptr, ptr %row.i, align 8
  tail call void %9(ptr noundef %10, ptr noundef %11, i64 noundef %spec.store.select.i, i64 noundef %spec.select.i)
  %.pre = load i64, ptr %n_segments.i, align 8
  br label %for.inc.i

for.inc.i:
  %12 = phi i64 [ %.pre, %if.end26.i ], [ %3, %if.end11.i ], [ %3, %if.end9.i ]
  %inc.i = add nsw i64 %i.077.i, 1
  %cmp3.i = icmp slt i64 %inc.i, %12
  br i1 %cmp3.i, label %for.body.i, label %walk.exit

walk.exit:
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
  %j46 = alloca i64, align 8
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
  %cmp3.not138 = icmp sgt i64 %call, 0
  br i1 %cmp3.not138, label %for.body.lr.ph, label %for.end33

for.body.lr.ph:
  %get = getelementptr inbounds %struct.Python, ptr %0, i64 0, i32 1
  %item = getelementptr inbounds %struct.Python, ptr %0, i64 0, i32 3
  %key5 = getelementptr inbounds %struct.Watch, ptr %watch, i64 0, i32 1
  br label %for.body

if.then:
  %clear = getelementptr inbounds %struct.Python, ptr %0, i64 0, i32 4
  %4 = load ptr, ptr %clear, align 8
  tail call void %4()
  br label %cleanup74

for.body:
  %want.0140 = phi ptr [ %1, %for.body.lr.ph ], [ %incdec.ptr30, %for.inc28 ]
  %i.0139 = phi i64 [ 0, %for.body.lr.ph ], [ %inc29, %for.inc28 ]
  %5 = load ptr, ptr %get, align 8
  %6 = load ptr, ptr %item, align 8
  %call4 = tail call ptr %6(ptr noundef %groups, i64 noundef %i.0139)
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
  %cmp14.not135.not = icmp eq i64 %call8, 0
  br i1 %cmp14.not135.not, label %cleanup25, label %for.body16.preheader

for.body16.preheader:
  %9 = shl i64 %call8, 3
  %scevgep = getelementptr i8, ptr %want.0140, i64 %9
  br label %for.body16

if.then10:
  %clear11 = getelementptr inbounds %struct.Python, ptr %0, i64 0, i32 4
  %10 = load ptr, ptr %clear11, align 8
  tail call void %10()
  br label %cleanup74

for.body16:
  %j.0137 = phi i64 [ %inc, %for.inc ], [ 0, %for.body16.preheader ]
  %want.1136 = phi ptr [ %incdec.ptr, %for.inc ], [ %want.0140, %for.body16.preheader ]
  %11 = load ptr, ptr %item, align 8
  %call18 = tail call ptr %11(ptr noundef nonnull %call6, i64 noundef %j.0137)
  %12 = load ptr, ptr %want.1136, align 8
  %cmp19.not = icmp eq ptr %call18, %12
  br i1 %cmp19.not, label %for.inc, label %cleanup74

for.inc:
  %inc = add nuw nsw i64 %j.0137, 1
  %incdec.ptr = getelementptr inbounds ptr, ptr %want.1136, i64 1
  %exitcond.not = icmp eq i64 %inc, %call8
  br i1 %exitcond.not, label %cleanup25, label %for.body16

cleanup25:
  %want.1.lcssa = phi ptr [ %want.0140, %for.cond13.preheader ], [ %scevgep, %for.inc ]
  %13 = load ptr, ptr %want.1.lcssa, align 8
  %tobool22.not = icmp eq ptr %13, null
  br i1 %tobool22.not, label %for.inc28, label %cleanup74

for.inc28:
  %inc29 = add nuw nsw i64 %i.0139, 1
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
  %want.3.ph = phi ptr [ %incdec.ptr68, %for.end64.critedge ], [ %15, %for.end33 ]
  %.pr = load ptr, ptr %want.3.ph, align 8
  br label %for.cond36

for.cond36:
  %16 = phi ptr [ %.pr, %for.cond36thread-pre-split ], [ %.pre, %for.body41 ]
  %tobool37.not = icmp eq ptr %16, null
  br i1 %tobool37.not, label %for.end71, label %land.rhs

land.rhs:
  %17 = load ptr, ptr %0, align 8
  %call38 = call i32 %17(ptr noundef %states, ptr noundef nonnull %i35, ptr noundef nonnull %key, ptr noundef nonnull %inner)
  %tobool39.not = icmp eq i32 %call38, 0
  %.pre = load ptr, ptr %want.3.ph, align 8
  br i1 %tobool39.not, label %for.end71, label %for.body41

for.body41:
  %18 = load ptr, ptr %inner, align 8
  %cmp42.not = icmp eq ptr %18, %.pre
  br i1 %cmp42.not, label %if.end44, label %for.cond36

if.end44:
  %incdec.ptr45 = getelementptr inbounds ptr, ptr %want.3.ph, i64 1
  store i64 0, ptr %j46, align 8
  br label %for.cond47thread-pre-split

for.cond47thread-pre-split:
  %want.4.ph = phi ptr [ %add.ptr, %if.end61 ], [ %incdec.ptr45, %if.end44 ]
  %.pr126 = load ptr, ptr %want.4.ph, align 8
  br label %for.cond47

for.cond47:
  %19 = phi ptr [ %.pr126, %for.cond47thread-pre-split ], [ %23, %for.body55 ]
  %tobool48.not = icmp eq ptr %19, null
  br i1 %tobool48.not, label %for.end64.critedge, label %land.rhs49

land.rhs49:
  %20 = load ptr, ptr %0, align 8
  %21 = load ptr, ptr %inner, align 8
  %call51 = call i32 %20(ptr noundef %21, ptr noundef nonnull %j46, ptr noundef nonnull %key, ptr noundef nonnull %value)
  %tobool52.not = icmp eq i32 %call51, 0
  br i1 %tobool52.not, label %for.end64.critedge, label %for.body55

for.body55:
  %22 = load ptr, ptr %key, align 8
  %23 = load ptr, ptr %want.4.ph, align 8
  %cmp56.not = icmp eq ptr %22, %23
  br i1 %cmp56.not, label %if.end58, label %for.cond47

if.end58:
  %24 = load ptr, ptr %value, align 8
  %arrayidx = getelementptr inbounds ptr, ptr %want.4.ph, i64 1
  %25 = load ptr, ptr %arrayidx, align 8
  %cmp59.not = icmp eq ptr %24, %25
  br i1 %cmp59.not, label %if.end61, label %cleanup62

if.end61:
  %add.ptr = getelementptr inbounds ptr, ptr %want.4.ph, i64 2
  br label %for.cond47thread-pre-split

cleanup62:
  br label %cleanup69

for.end64.critedge:
  %26 = load ptr, ptr %want.4.ph, align 8
  %tobool65.not = icmp eq ptr %26, null
  %incdec.ptr68 = getelementptr inbounds ptr, ptr %want.4.ph, i64 1
  br i1 %tobool65.not, label %for.cond36thread-pre-split, label %cleanup69

cleanup69:
  br label %cleanup74

for.end71:
  %27 = phi ptr [ null, %for.cond36 ], [ %.pre, %land.rhs ]
  %cmp72 = icmp eq ptr %27, null
  %conv73 = zext i1 %cmp72 to i64
  br label %cleanup74

cleanup74:
  %retval.7 = phi i64 [ 0, %if.then ], [ %conv73, %for.end71 ], [ 0, %cleanup69 ], [ 0, %if.then10 ], [ 0, %for.body16 ], [ 0, %cleanup25 ]
  ret i64 %retval.7
}

declare void @llvm.prefetch.p0(ptr readonly, i32 immarg, i32 immarg, i32 immarg)

define internal fastcc noundef zeroext i1 @fits(ptr noundef readonly %table, ptr noundef %tensor, i64 noundef %dtype, ptr noundef %seen, ptr noundef readonly %look) nounwind "no-builtins" {
entry:
  %word = alloca i32, align 4
  %dim = alloca i64, align 8
  %sizes = alloca ptr, align 8
  %strides = alloca ptr, align 8
  %0 = load ptr, ptr %table, align 8
  %anatomy2 = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 1
  %1 = load ptr, ptr %anatomy2, align 8
  %tobool.not = icmp eq ptr %1, null
  br i1 %tobool.not, label %if.end, label %land.end

land.end:
  %dim3 = getelementptr inbounds %struct.Look, ptr %look, i64 0, i32 4
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
  br i1 %cmp11.not49.i, label %cleanup82, label %for.body.lr.ph.i

for.body.lr.ph.i:
  %sizes.i = getelementptr inbounds %struct.Anatomy, ptr %1, i64 0, i32 2
  %14 = load i64, ptr %sizes.i, align 8
  %15 = getelementptr i64, ptr %4, i64 %14
  %sizes13.i = getelementptr inbounds %struct.Look, ptr %look, i64 0, i32 5
  %16 = load ptr, ptr %sizes13.i, align 8
  %strides.i = getelementptr inbounds %struct.Anatomy, ptr %1, i64 0, i32 3
  %strides20.i = getelementptr inbounds %struct.Look, ptr %look, i64 0, i32 6
  br label %for.body.i

for.cond.i:
  %inc.i = add nuw nsw i64 %d.050.i, 1
  %exitcond.i = icmp eq i64 %inc.i, %2
  br i1 %exitcond.i, label %cleanup82, label %for.body.i

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
  %24 = phi i1 [ false, %land.end ], [ false, %entry ], [ true, %land.lhs.true ], [ true, %lor.lhs.false.i ], [ true, %if.end.i ], [ true, %for.body.i ], [ true, %if.end17.i ]
  %layout = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 2
  %25 = load ptr, ptr %layout, align 8
  %call5 = call i32 %25(ptr noundef %tensor, ptr noundef nonnull %word)
  %tobool6 = icmp ne i32 %call5, 0
  %26 = load i32, ptr %word, align 4
  %cmp7 = icmp ne i32 %26, 0
  %or.cond = select i1 %tobool6, i1 true, i1 %cmp7
  br i1 %or.cond, label %cleanup82, label %if.end9

if.end9:
  %device = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 3
  %27 = load ptr, ptr %device, align 8
  %call10 = call i32 %27(ptr noundef %tensor, ptr noundef nonnull %word)
  %tobool11 = icmp ne i32 %call10, 0
  %28 = load i32, ptr %word, align 4
  %cmp13 = icmp ne i32 %28, 0
  %or.cond89 = select i1 %tobool11, i1 true, i1 %cmp13
  br i1 %or.cond89, label %cleanup82, label %if.end15

if.end15:
  %dtype16 = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 4
  %29 = load ptr, ptr %dtype16, align 8
  %call17 = call i32 %29(ptr noundef %tensor, ptr noundef nonnull %word)
  %tobool18.not = icmp eq i32 %call17, 0
  %30 = load i32, ptr %word, align 4
  %conv = sext i32 %30 to i64
  %cmp20.not = icmp eq i64 %conv, %dtype
  %or.cond131 = select i1 %tobool18.not, i1 %cmp20.not, i1 false
  br i1 %or.cond131, label %if.end23, label %cleanup82

if.end23:
  %is_neg = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 9
  %31 = load ptr, ptr %is_neg, align 8
  %tobool24.not = icmp eq ptr %31, null
  br i1 %tobool24.not, label %if.end30, label %land.lhs.true25

land.lhs.true25:
  %call27 = call i1 %31(ptr noundef %tensor)
  br i1 %call27, label %cleanup82, label %if.end30

if.end30:
  %is_conj = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 10
  %32 = load ptr, ptr %is_conj, align 8
  %tobool31.not = icmp eq ptr %32, null
  br i1 %tobool31.not, label %if.end37, label %land.lhs.true32

land.lhs.true32:
  %call34 = call i1 %32(ptr noundef %tensor)
  br i1 %call34, label %cleanup82, label %if.end37

if.end37:
  %dim38 = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 5
  %33 = load ptr, ptr %dim38, align 8
  %call39 = call i32 %33(ptr noundef %tensor, ptr noundef nonnull %dim)
  %tobool40.not = icmp eq i32 %call39, 0
  br i1 %tobool40.not, label %lor.lhs.false41, label %cleanup82

lor.lhs.false41:
  %34 = load i64, ptr %dim, align 8
  %dim42 = getelementptr inbounds %struct.Look, ptr %look, i64 0, i32 4
  %35 = load i64, ptr %dim42, align 8
  %cmp43.not = icmp eq i64 %34, %35
  br i1 %cmp43.not, label %if.end46, label %cleanup82

if.end46:
  %sizes47 = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 6
  %36 = load ptr, ptr %sizes47, align 8
  %call48 = call i32 %36(ptr noundef %tensor, ptr noundef nonnull %sizes)
  %tobool49.not = icmp eq i32 %call48, 0
  br i1 %tobool49.not, label %lor.lhs.false50, label %cleanup82

lor.lhs.false50:
  %strides51 = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 7
  %37 = load ptr, ptr %strides51, align 8
  %call52 = call i32 %37(ptr noundef %tensor, ptr noundef nonnull %strides)
  %tobool53.not = icmp eq i32 %call52, 0
  br i1 %tobool53.not, label %for.cond.preheader, label %cleanup82

for.cond.preheader:
  %38 = load i64, ptr %dim, align 8
  %cmp56.not135 = icmp sgt i64 %38, 0
  br i1 %cmp56.not135, label %for.body.lr.ph, label %for.end

for.body.lr.ph:
  %39 = load ptr, ptr %sizes, align 8
  %sizes58 = getelementptr inbounds %struct.Look, ptr %look, i64 0, i32 5
  %40 = load ptr, ptr %sizes58, align 8
  %41 = load ptr, ptr %strides, align 8
  %strides65 = getelementptr inbounds %struct.Look, ptr %look, i64 0, i32 6
  br label %for.body

for.cond:
  %inc = add nuw nsw i64 %d.0136, 1
  %exitcond.not = icmp eq i64 %inc, %38
  br i1 %exitcond.not, label %for.end, label %for.body

for.body:
  %d.0136 = phi i64 [ 0, %for.body.lr.ph ], [ %inc, %for.cond ]
  %arrayidx = getelementptr inbounds i64, ptr %39, i64 %d.0136
  %42 = load i64, ptr %arrayidx, align 8
  %arrayidx59 = getelementptr inbounds i64, ptr %40, i64 %d.0136
  %43 = load i64, ptr %arrayidx59, align 8
  %cmp60.not = icmp eq i64 %42, %43
  br i1 %cmp60.not, label %if.end63, label %cleanup82

if.end63:
  %arrayidx64 = getelementptr inbounds i64, ptr %41, i64 %d.0136
  %44 = load i64, ptr %arrayidx64, align 8
  %45 = load ptr, ptr %strides65, align 8
  %arrayidx66 = getelementptr inbounds i64, ptr %45, i64 %d.0136
  %46 = load i64, ptr %arrayidx66, align 8
  %cmp67.not = icmp ne i64 %44, %46
  %cmp71 = icmp sgt i64 %42, 1
  %or.cond132 = and i1 %cmp71, %cmp67.not
  br i1 %or.cond132, label %cleanup82, label %for.cond

for.end:
  br i1 %24, label %if.then76, label %cleanup82

if.then76:
  %47 = load ptr, ptr %tensor, align 8
  %kind = getelementptr inbounds %struct.Anatomy, ptr %1, i64 0, i32 5
  %48 = load i64, ptr %kind, align 8
  %arrayidx77 = getelementptr inbounds i64, ptr %47, i64 %48
  %49 = load i64, ptr %arrayidx77, align 8
  %kind_bits = getelementptr inbounds %struct.Anatomy, ptr %1, i64 0, i32 10
  %50 = load i64, ptr %kind_bits, align 8
  %and = and i64 %50, %49
  store i64 %and, ptr %seen, align 8
  %keys = getelementptr inbounds %struct.Anatomy, ptr %1, i64 0, i32 6
  %51 = load i64, ptr %keys, align 8
  %arrayidx79 = getelementptr inbounds i64, ptr %47, i64 %51
  %52 = load i64, ptr %arrayidx79, align 8
  %keys80 = getelementptr inbounds %struct.Seen, ptr %seen, i64 0, i32 1
  store i64 %52, ptr %keys80, align 8
  br label %cleanup82

cleanup82:
  %retval.1 = phi i1 [ false, %if.end ], [ false, %if.end9 ], [ false, %if.end15 ], [ false, %land.lhs.true25 ], [ false, %land.lhs.true32 ], [ false, %lor.lhs.false41 ], [ false, %if.end37 ], [ false, %lor.lhs.false50 ], [ false, %if.end46 ], [ true, %if.then76 ], [ true, %for.end ], [ true, %for.cond.preheader.i ], [ false, %if.end63 ], [ false, %for.body ], [ true, %for.cond.i ]
  ret i1 %retval.1
}

declare i64 @llvm.smax.i64(i64, i64)

declare i64 @llvm.smin.i64(i64, i64)
