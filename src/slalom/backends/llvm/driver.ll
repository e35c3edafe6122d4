; Made from driver.c by tools/make_driver.py: edit that, not this.

%struct.Table = type { ptr, ptr, i64, ptr, i64, ptr, ptr, i64, ptr, i64, i64 }
%struct.Segment = type { ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, i64, i64, i64, i64, i64, i64, i64 }
%struct.Look = type { ptr, ptr, i64, i64, ptr, ptr, ptr }
%struct.Torch = type { ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr }
%struct.Watch = type { ptr, ptr, i64, ptr, ptr }
%struct.Python = type { ptr, ptr, ptr, ptr, ptr }

define i64 @gather(ptr noundef %table) nounwind "no-builtins" {
entry:
  %defined.i = alloca i8, align 1
  %defined.i.i = alloca i8, align 1
  %address.i = alloca ptr, align 8
  %n_segments = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 2
  %0 = load i64, ptr %n_segments, align 8
  %cmp.not109 = icmp sgt i64 %0, 0
  br i1 %cmp.not109, label %for.body.lr.ph, label %for.cond9.preheader.loopexit

for.body.lr.ph:
  %segments = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 1
  %grads.i.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 5
  %n_written.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 7
  %written.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 6
  br label %for.body

for.body:
  %found.0112 = phi i64 [ 0, %for.body.lr.ph ], [ %or, %for.inc ]
  %line.0111 = phi i64 [ 0, %for.body.lr.ph ], [ %line.2, %for.inc ]
  %i.0110 = phi i64 [ 0, %for.body.lr.ph ], [ %inc, %for.inc ]
  %1 = load ptr, ptr %segments, align 8
  %2 = load ptr, ptr %table, align 8
  %looks.i = getelementptr inbounds %struct.Segment, ptr %1, i64 %i.0110, i32 4
  %3 = load ptr, ptr %looks.i, align 8
  %incdec.ptr.i = getelementptr inbounds %struct.Look, ptr %3, i64 1
  %holder.i.i = getelementptr inbounds %struct.Look, ptr %3, i64 0, i32 1
  %4 = load ptr, ptr %holder.i.i, align 8
  %tobool.not.i.i = icmp eq ptr %4, null
  br i1 %tobool.not.i.i, label %lor.lhs.false.i, label %held.exit.i

held.exit.i:
  %5 = load ptr, ptr %4, align 8
  %6 = load ptr, ptr %3, align 8
  %cmp.i.i = icmp eq ptr %5, %6
  br i1 %cmp.i.i, label %lor.lhs.false.i, label %look_at.exit.thread

lor.lhs.false.i:
  %dtype.i = getelementptr inbounds %struct.Look, ptr %3, i64 0, i32 2
  %7 = load i64, ptr %dtype.i, align 8
  %call2.i = call fastcc i1 @fits(ptr noundef %2, ptr noundef nonnull %3, i64 noundef %7, ptr noundef nonnull %3)
  br i1 %call2.i, label %if.end.i, label %look_at.exit.thread

if.end.i:
  %data.i = getelementptr inbounds %struct.Torch, ptr %2, i64 0, i32 8
  %8 = load ptr, ptr %data.i, align 8
  %call3.i = call i32 %8(ptr noundef nonnull %3, ptr noundef nonnull %address.i)
  %tobool.not.i = icmp eq i32 %call3.i, 0
  br i1 %tobool.not.i, label %lor.lhs.false4.i, label %look_at.exit.thread

lor.lhs.false4.i:
  %9 = load ptr, ptr %address.i, align 8
  %tobool5.not.i = icmp eq ptr %9, null
  br i1 %tobool5.not.i, label %land.lhs.true.i, label %if.end8.i

land.lhs.true.i:
  %numel.i = getelementptr inbounds %struct.Segment, ptr %1, i64 %i.0110, i32 8
  %10 = load i64, ptr %numel.i, align 8
  %tobool6.not.i = icmp eq i64 %10, 0
  br i1 %tobool6.not.i, label %if.end8.i, label %look_at.exit.thread

if.end8.i:
  %address9.i = getelementptr inbounds %struct.Look, ptr %3, i64 0, i32 6
  %11 = load ptr, ptr %address9.i, align 8
  %cmp.not.i = icmp eq ptr %9, %11
  %spec.select.i = select i1 %cmp.not.i, i64 0, i64 2
  store ptr %9, ptr %address9.i, align 8
  %arrays.i = getelementptr inbounds %struct.Segment, ptr %1, i64 %i.0110, i32 5
  %12 = load ptr, ptr %arrays.i, align 8
  store ptr %9, ptr %12, align 8
  %13 = load ptr, ptr %table, align 8
  store i8 0, ptr %defined.i.i, align 1
  %grad.i.i = getelementptr inbounds %struct.Torch, ptr %13, i64 0, i32 12
  %14 = load ptr, ptr %grad.i.i, align 8
  %tobool.not.i183.i = icmp eq ptr %14, null
  br i1 %tobool.not.i183.i, label %if.then.i.i, label %if.end.i.i

if.then.i.i:
  %15 = load ptr, ptr %grads.i.i, align 8
  %arrayidx.i.i = getelementptr inbounds ptr, ptr %15, i64 %i.0110
  %16 = load ptr, ptr %arrayidx.i.i, align 8
  %tobool2.not.i.i = icmp eq ptr %16, null
  %spec.select.i.i = select i1 %tobool2.not.i.i, ptr null, ptr %arrayidx.i.i
  br label %gradient.exit.i

if.end.i.i:
  %17 = load ptr, ptr %3, align 8
  %call.i.i = call ptr %14(ptr noundef %17)
  %is_defined.i.i = getelementptr inbounds %struct.Torch, ptr %13, i64 0, i32 1
  %18 = load ptr, ptr %is_defined.i.i, align 8
  %call7.i.i = call i32 %18(ptr noundef %call.i.i, ptr noundef nonnull %defined.i.i)
  %tobool8.i.i = icmp eq i32 %call7.i.i, 0
  %19 = load i8, ptr %defined.i.i, align 1
  %tobool9.i.i = icmp ne i8 %19, 0
  %or.cond.i.i = select i1 %tobool8.i.i, i1 %tobool9.i.i, i1 false
  %cond13.i.i = select i1 %or.cond.i.i, ptr %call.i.i, ptr null
  br label %gradient.exit.i

gradient.exit.i:
  %retval.0.i.i = phi ptr [ %cond13.i.i, %if.end.i.i ], [ %spec.select.i.i, %if.then.i.i ]
  %present.i = getelementptr inbounds %struct.Segment, ptr %1, i64 %i.0110, i32 7
  %20 = load ptr, ptr %present.i, align 8
  %21 = load i64, ptr %20, align 8
  %cmp14.i = icmp ne ptr %retval.0.i.i, null
  %conv15.i = zext i1 %cmp14.i to i64
  %cmp16.not.i = icmp ne i64 %21, %conv15.i
  %or19.i = zext i1 %cmp16.not.i to i64
  %found.1.i = or disjoint i64 %spec.select.i, %or19.i
  store i64 %conv15.i, ptr %20, align 8
  %copied.i = getelementptr inbounds %struct.Segment, ptr %1, i64 %i.0110, i32 11
  %22 = load i64, ptr %copied.i, align 8
  %tobool25.not.i = icmp eq i64 %22, 0
  br i1 %tobool25.not.i, label %if.else.i, label %if.then26.i

if.then26.i:
  %incdec.ptr27.i = getelementptr inbounds %struct.Look, ptr %3, i64 2
  %address28.i = getelementptr inbounds %struct.Look, ptr %3, i64 1, i32 6
  %23 = load ptr, ptr %address28.i, align 8
  %24 = load ptr, ptr %arrays.i, align 8
  %arrayidx30.i = getelementptr inbounds ptr, ptr %24, i64 1
  store ptr %23, ptr %arrayidx30.i, align 8
  br label %if.end60.i

if.else.i:
  br i1 %cmp14.i, label %if.then32.i, label %if.end60.i

if.then32.i:
  %grad_dtype.i = getelementptr inbounds %struct.Segment, ptr %1, i64 %i.0110, i32 10
  %25 = load i64, ptr %grad_dtype.i, align 8
  %call33.i = call fastcc i1 @fits(ptr noundef nonnull %2, ptr noundef nonnull %retval.0.i.i, i64 noundef %25, ptr noundef nonnull %3)
  br i1 %call33.i, label %if.end35.i, label %look_at.exit.thread

if.end35.i:
  %26 = load ptr, ptr %data.i, align 8
  %call37.i = call i32 %26(ptr noundef nonnull %retval.0.i.i, ptr noundef nonnull %address.i)
  %tobool38.not.i = icmp eq i32 %call37.i, 0
  br i1 %tobool38.not.i, label %lor.lhs.false39.i, label %look_at.exit.thread

lor.lhs.false39.i:
  %27 = load ptr, ptr %address.i, align 8
  %tobool40.not.i = icmp eq ptr %27, null
  br i1 %tobool40.not.i, label %land.lhs.true41.i, label %if.end45.i

land.lhs.true41.i:
  %numel42.i = getelementptr inbounds %struct.Segment, ptr %1, i64 %i.0110, i32 8
  %28 = load i64, ptr %numel42.i, align 8
  %tobool43.not.i = icmp eq i64 %28, 0
  br i1 %tobool43.not.i, label %if.end45.i, label %look_at.exit.thread

if.end45.i:
  %29 = load ptr, ptr %arrays.i, align 8
  %arrayidx47.i = getelementptr inbounds ptr, ptr %29, i64 1
  %30 = load ptr, ptr %arrayidx47.i, align 8
  %cmp48.not.i = icmp eq ptr %27, %30
  br i1 %cmp48.not.i, label %if.else55.i, label %land.lhs.true50.i

land.lhs.true50.i:
  %31 = ptrtoint ptr %27 to i64
  %bytes.i = getelementptr inbounds %struct.Segment, ptr %1, i64 %i.0110, i32 9
  %32 = load i64, ptr %bytes.i, align 8
  %add.i = add i64 %32, %31
  %33 = load i64, ptr %n_written.i, align 8
  %cmp19.i = icmp sgt i64 %33, 0
  br i1 %cmp19.i, label %while.body.lr.ph.i, label %while.end.i

while.body.lr.ph.i:
  %34 = load ptr, ptr %written.i, align 8
  br label %while.body.i

while.body.i:
  %low.021.i = phi i64 [ 0, %while.body.lr.ph.i ], [ %low.1.i, %while.body.i ]
  %high.020.i = phi i64 [ %33, %while.body.lr.ph.i ], [ %high.1.i, %while.body.i ]
  %add.i62 = add nsw i64 %high.020.i, %low.021.i
  %div.i = sdiv i64 %add.i62, 2
  %mul.i = shl nsw i64 %div.i, 1
  %add1.i = or disjoint i64 %mul.i, 1
  %arrayidx.i63 = getelementptr inbounds i64, ptr %34, i64 %add1.i
  %35 = load i64, ptr %arrayidx.i63, align 8
  %cmp2.i = icmp ugt i64 %35, %31
  %add3.i = add nsw i64 %div.i, 1
  %high.1.i = select i1 %cmp2.i, i64 %div.i, i64 %high.020.i
  %low.1.i = select i1 %cmp2.i, i64 %low.021.i, i64 %add3.i
  %cmp.i64 = icmp slt i64 %low.1.i, %high.1.i
  br i1 %cmp.i64, label %while.body.i, label %while.end.i

while.end.i:
  %low.0.lcssa.i = phi i64 [ 0, %land.lhs.true50.i ], [ %low.1.i, %while.body.i ]
  %cmp5.i = icmp slt i64 %low.0.lcssa.i, %33
  br i1 %cmp5.i, label %written.exit, label %if.else55.i

written.exit:
  %36 = load ptr, ptr %written.i, align 8
  %mul7.i = shl nsw i64 %low.0.lcssa.i, 1
  %arrayidx8.i = getelementptr inbounds i64, ptr %36, i64 %mul7.i
  %37 = load i64, ptr %arrayidx8.i, align 8
  %cmp9.i = icmp ult i64 %37, %add.i
  br i1 %cmp9.i, label %if.then53.i, label %if.else55.i

if.then53.i:
  %or54.i = or disjoint i64 %or19.i, 2
  br label %if.end60.i

if.else55.i:
  store ptr %27, ptr %arrayidx47.i, align 8
  br label %if.end60.i

if.end60.i:
  %found.3.i = phi i64 [ %found.1.i, %if.then26.i ], [ %found.1.i, %if.else.i ], [ %or54.i, %if.then53.i ], [ %found.1.i, %if.else55.i ]
  %look.0.i = phi ptr [ %incdec.ptr27.i, %if.then26.i ], [ %incdec.ptr.i, %if.else.i ], [ %incdec.ptr.i, %if.then53.i ], [ %incdec.ptr.i, %if.else55.i ]
  %states.i = getelementptr inbounds %struct.Segment, ptr %1, i64 %i.0110, i32 12
  %38 = load i64, ptr %states.i, align 8
  %cmp61.not196.i = icmp sgt i64 %38, 0
  br i1 %cmp61.not196.i, label %for.body.i, label %for.cond79.preheader.i

for.cond79.preheader.i:
  %look.1.lcssa.i = phi ptr [ %look.0.i, %if.end60.i ], [ %incdec.ptr77.i, %if.end73.i ]
  %kept.i = getelementptr inbounds %struct.Segment, ptr %1, i64 %i.0110, i32 13
  %39 = load i64, ptr %kept.i, align 8
  %cmp80.not199.i = icmp sgt i64 %39, 0
  br i1 %cmp80.not199.i, label %for.body83.lr.ph.i, label %look_at.exit.thread68

look_at.exit.thread68:
  br label %if.end

for.body83.lr.ph.i:
  %values.i = getelementptr inbounds %struct.Segment, ptr %1, i64 %i.0110, i32 6
  br label %for.body83.i

for.body.i:
  %i.0198.i = phi i64 [ %inc.i, %if.end73.i ], [ 0, %if.end60.i ]
  %look.1197.i = phi ptr [ %incdec.ptr77.i, %if.end73.i ], [ %look.0.i, %if.end60.i ]
  %holder.i184.i = getelementptr inbounds %struct.Look, ptr %look.1197.i, i64 0, i32 1
  %40 = load ptr, ptr %holder.i184.i, align 8
  %tobool.not.i185.i = icmp eq ptr %40, null
  br i1 %tobool.not.i185.i, label %lor.lhs.false64.i, label %held.exit188.i

held.exit188.i:
  %41 = load ptr, ptr %40, align 8
  %42 = load ptr, ptr %look.1197.i, align 8
  %cmp.i187.i = icmp eq ptr %41, %42
  br i1 %cmp.i187.i, label %lor.lhs.false64.i, label %look_at.exit.thread

lor.lhs.false64.i:
  %43 = load ptr, ptr %data.i, align 8
  %call66.i = call i32 %43(ptr noundef nonnull %look.1197.i, ptr noundef nonnull %address.i)
  %tobool67.not.i = icmp eq i32 %call66.i, 0
  br i1 %tobool67.not.i, label %lor.lhs.false68.i, label %look_at.exit.thread

lor.lhs.false68.i:
  %44 = load ptr, ptr %address.i, align 8
  %address69.i = getelementptr inbounds %struct.Look, ptr %look.1197.i, i64 0, i32 6
  %45 = load ptr, ptr %address69.i, align 8
  %cmp70.not.i = icmp eq ptr %44, %45
  br i1 %cmp70.not.i, label %if.end73.i, label %look_at.exit.thread

if.end73.i:
  %46 = load ptr, ptr %arrays.i, align 8
  %47 = getelementptr ptr, ptr %46, i64 %i.0198.i
  %arrayidx76.i = getelementptr ptr, ptr %47, i64 2
  store ptr %44, ptr %arrayidx76.i, align 8
  %inc.i = add nuw nsw i64 %i.0198.i, 1
  %incdec.ptr77.i = getelementptr inbounds %struct.Look, ptr %look.1197.i, i64 1
  %48 = load i64, ptr %states.i, align 8
  %cmp61.not.i = icmp slt i64 %inc.i, %48
  br i1 %cmp61.not.i, label %for.body.i, label %for.cond79.preheader.i

for.body83.i:
  %49 = phi i64 [ %39, %for.body83.lr.ph.i ], [ %61, %for.inc109.i ]
  %i78.0202.i = phi i64 [ 0, %for.body83.lr.ph.i ], [ %inc110.i, %for.inc109.i ]
  %look.2201.i = phi ptr [ %look.1.lcssa.i, %for.body83.lr.ph.i ], [ %incdec.ptr111.i, %for.inc109.i ]
  %found.4200.i = phi i64 [ %found.3.i, %for.body83.lr.ph.i ], [ %found.6.i, %for.inc109.i ]
  %50 = load ptr, ptr %look.2201.i, align 8
  %tobool84.not.i = icmp eq ptr %50, null
  br i1 %tobool84.not.i, label %for.inc109.i, label %if.end86.i

if.end86.i:
  %holder.i189.i = getelementptr inbounds %struct.Look, ptr %look.2201.i, i64 0, i32 1
  %51 = load ptr, ptr %holder.i189.i, align 8
  %tobool.not.i190.i = icmp eq ptr %51, null
  br i1 %tobool.not.i190.i, label %lor.lhs.false88.i, label %held.exit193.i

held.exit193.i:
  %52 = load ptr, ptr %51, align 8
  %cmp.i192.i = icmp eq ptr %52, %50
  br i1 %cmp.i192.i, label %lor.lhs.false88.i, label %look_at.exit.thread

lor.lhs.false88.i:
  %53 = load ptr, ptr %data.i, align 8
  %call90.i = call i32 %53(ptr noundef nonnull %look.2201.i, ptr noundef nonnull %address.i)
  %tobool91.not.i = icmp eq i32 %call90.i, 0
  br i1 %tobool91.not.i, label %lor.lhs.false92.i, label %look_at.exit.thread

lor.lhs.false92.i:
  %54 = load ptr, ptr %address.i, align 8
  %address93.i = getelementptr inbounds %struct.Look, ptr %look.2201.i, i64 0, i32 6
  %55 = load ptr, ptr %address93.i, align 8
  %cmp94.not.i = icmp eq ptr %54, %55
  br i1 %cmp94.not.i, label %if.end97.i, label %look_at.exit.thread

if.end97.i:
  %dtype98.i = getelementptr inbounds %struct.Look, ptr %look.2201.i, i64 0, i32 2
  %56 = load i64, ptr %dtype98.i, align 8
  %tobool99.not.i = icmp eq i64 %56, 0
  br i1 %tobool99.not.i, label %cond.false.i, label %cond.true.i

cond.true.i:
  %57 = load double, ptr %54, align 8
  br label %cond.end.i

cond.false.i:
  %58 = load float, ptr %54, align 4
  %conv100.i = fpext float %58 to double
  br label %cond.end.i

cond.end.i:
  %cond.i = phi double [ %57, %cond.true.i ], [ %conv100.i, %cond.false.i ]
  %59 = load ptr, ptr %values.i, align 8
  %arrayidx101.i = getelementptr inbounds double, ptr %59, i64 %i78.0202.i
  %60 = load double, ptr %arrayidx101.i, align 8
  %cmp102.i = fcmp une double %cond.i, %60
  %or105.i = zext i1 %cmp102.i to i64
  %found.5.i = or i64 %found.4200.i, %or105.i
  store double %cond.i, ptr %arrayidx101.i, align 8
  %.pre.i = load i64, ptr %kept.i, align 8
  br label %for.inc109.i

for.inc109.i:
  %61 = phi i64 [ %.pre.i, %cond.end.i ], [ %49, %for.body83.i ]
  %found.6.i = phi i64 [ %found.5.i, %cond.end.i ], [ %found.4200.i, %for.body83.i ]
  %inc110.i = add nuw nsw i64 %i78.0202.i, 1
  %incdec.ptr111.i = getelementptr inbounds %struct.Look, ptr %look.2201.i, i64 1
  %cmp80.not.i = icmp slt i64 %inc110.i, %61
  br i1 %cmp80.not.i, label %for.body83.i, label %look_at.exit

look_at.exit.thread:
  br label %cleanup29

look_at.exit:
  br label %if.end

if.end:
  %retval.3.i71 = phi i64 [ %found.3.i, %look_at.exit.thread68 ], [ %found.6.i, %look_at.exit ]
  %or = or i64 %retval.3.i71, %found.0112
  %first_line = getelementptr inbounds %struct.Segment, ptr %1, i64 %i.0110, i32 14
  store i64 %line.0111, ptr %first_line, align 8
  %62 = load ptr, ptr %present.i, align 8
  %63 = load i64, ptr %62, align 8
  %tobool.not = icmp eq i64 %63, 0
  br i1 %tobool.not, label %for.inc, label %if.then2

if.then2:
  %numel = getelementptr inbounds %struct.Segment, ptr %1, i64 %i.0110, i32 8
  %64 = load i64, ptr %numel, align 8
  %sub = add nsw i64 %64, 15
  %div = sdiv i64 %sub, 16
  %add3 = add nsw i64 %div, %line.0111
  br label %for.inc

for.inc:
  %line.2 = phi i64 [ %add3, %if.then2 ], [ %line.0111, %if.end ]
  %inc = add nuw nsw i64 %i.0110, 1
  %65 = load i64, ptr %n_segments, align 8
  %cmp.not = icmp slt i64 %inc, %65
  br i1 %cmp.not, label %for.body, label %for.cond9.preheader.loopexit

for.cond9.preheader.loopexit:
  %line.0.lcssa = phi i64 [ 0, %entry ], [ %line.2, %for.inc ]
  %found.0.lcssa = phi i64 [ 0, %entry ], [ %or, %for.inc ]
  %n_absent = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 4
  %66 = load i64, ptr %n_absent, align 8
  %cmp10.not114 = icmp sgt i64 %66, 0
  br i1 %cmp10.not114, label %for.body12.lr.ph, label %for.end28

for.body12.lr.ph:
  %absent = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 3
  %grads.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 5
  br label %for.body12

for.body12:
  %i8.0115 = phi i64 [ 0, %for.body12.lr.ph ], [ %inc25, %if.end20 ]
  %67 = load ptr, ptr %absent, align 8
  %arrayidx13 = getelementptr inbounds %struct.Look, ptr %67, i64 %i8.0115
  %holder.i = getelementptr inbounds %struct.Look, ptr %67, i64 %i8.0115, i32 1
  %68 = load ptr, ptr %holder.i, align 8
  %tobool.not.i58 = icmp eq ptr %68, null
  br i1 %tobool.not.i58, label %lor.lhs.false, label %held.exit

held.exit:
  %69 = load ptr, ptr %68, align 8
  %70 = load ptr, ptr %arrayidx13, align 8
  %cmp.i = icmp eq ptr %69, %70
  br i1 %cmp.i, label %lor.lhs.false, label %cleanup29

lor.lhs.false:
  %71 = load i64, ptr %n_segments, align 8
  %72 = load ptr, ptr %table, align 8
  store i8 0, ptr %defined.i, align 1
  %grad.i = getelementptr inbounds %struct.Torch, ptr %72, i64 0, i32 12
  %73 = load ptr, ptr %grad.i, align 8
  %tobool.not.i59 = icmp eq ptr %73, null
  br i1 %tobool.not.i59, label %if.then.i, label %if.end.i60

if.then.i:
  %74 = load ptr, ptr %grads.i, align 8
  %75 = getelementptr ptr, ptr %74, i64 %71
  %arrayidx.i = getelementptr ptr, ptr %75, i64 %i8.0115
  %76 = load ptr, ptr %arrayidx.i, align 8
  %tobool2.not.i = icmp eq ptr %76, null
  br i1 %tobool2.not.i, label %gradient.exit.thread, label %gradient.exit.thread79

gradient.exit.thread79:
  br label %cleanup29

if.end.i60:
  %77 = load ptr, ptr %arrayidx13, align 8
  %call.i = call ptr %73(ptr noundef %77)
  %is_defined.i = getelementptr inbounds %struct.Torch, ptr %72, i64 0, i32 1
  %78 = load ptr, ptr %is_defined.i, align 8
  %call7.i = call i32 %78(ptr noundef %call.i, ptr noundef nonnull %defined.i)
  %tobool8.i = icmp eq i32 %call7.i, 0
  %79 = load i8, ptr %defined.i, align 1
  %tobool9.i = icmp ne i8 %79, 0
  %or.cond.i = select i1 %tobool8.i, i1 %tobool9.i, i1 false
  br i1 %or.cond.i, label %gradient.exit, label %gradient.exit.thread

gradient.exit.thread:
  br label %if.end20

gradient.exit:
  %tobool18.not = icmp eq ptr %call.i, null
  br i1 %tobool18.not, label %if.end20, label %cleanup29

if.end20:
  %inc25 = add nuw nsw i64 %i8.0115, 1
  %80 = load i64, ptr %n_absent, align 8
  %cmp10.not = icmp slt i64 %inc25, %80
  br i1 %cmp10.not, label %for.body12, label %for.end28

for.end28:
  %lines = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 9
  store i64 %line.0.lcssa, ptr %lines, align 8
  br label %cleanup29

cleanup29:
  %retval.6 = phi i64 [ %found.0.lcssa, %for.end28 ], [ -1, %gradient.exit.thread79 ], [ -1, %look_at.exit.thread ], [ -1, %gradient.exit ], [ -1, %held.exit ]
  ret i64 %retval.6
}

define i32 @measure(ptr noundef %table) nounwind "no-builtins" {
entry:
  %0 = load ptr, ptr %table, align 8
  %1 = load ptr, ptr %0, align 8
  %lines = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 9
  %2 = load i64, ptr %lines, align 8
  %sub.i = add nsw i64 %2, 255
  %div.i = sdiv i64 %sub.i, 256
  %grain = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 10
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
  %n_segments.i = getelementptr inbounds %struct.Table, ptr %context, i64 0, i32 2
  %segments.i = getelementptr inbounds %struct.Table, ptr %context, i64 0, i32 1
  %sums = getelementptr inbounds %struct.Table, ptr %context, i64 0, i32 8
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
  %first_line6.i12 = getelementptr inbounds %struct.Segment, ptr %3, i64 %low.0.lcssa.i, i32 14
  %4 = load i64, ptr %first_line6.i12, align 8
  %cmp7.not.i13 = icmp slt i64 %4, %mul1
  br i1 %cmp7.not.i13, label %if.end9.i, label %walk.exit

while.body.i:
  %low.074.i = phi i64 [ 0, %while.body.lr.ph.i ], [ %low.0.div.i, %while.body.i ]
  %high.073.i = phi i64 [ %1, %while.body.lr.ph.i ], [ %div.high.0.i, %while.body.i ]
  %add.i = add nsw i64 %high.073.i, %low.074.i
  %div.i = sdiv i64 %add.i, 2
  %first_line.i = getelementptr inbounds %struct.Segment, ptr %2, i64 %div.i, i32 14
  %5 = load i64, ptr %first_line.i, align 8
  %cmp1.not.i = icmp sgt i64 %5, %mul
  %div.high.0.i = select i1 %cmp1.not.i, i64 %div.i, i64 %high.073.i
  %low.0.div.i = select i1 %cmp1.not.i, i64 %low.074.i, i64 %div.i
  %sub.i = sub nsw i64 %div.high.0.i, %low.0.div.i
  %cmp.i = icmp sgt i64 %sub.i, 1
  br i1 %cmp.i, label %while.body.i, label %for.cond.preheader.i

for.body.i:
  %6 = load ptr, ptr %segments.i, align 8
  %first_line6.i = getelementptr inbounds %struct.Segment, ptr %6, i64 %inc.i, i32 14
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
  %n_segments = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 2
  %bump_version = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 11
  %1 = load ptr, ptr %bump_version, align 8
  %tobool.not96 = icmp eq ptr %1, null
  br i1 %tobool.not96, label %for.cond.cleanup, label %land.rhs.lr.ph

land.rhs.lr.ph:
  %segments = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 1
  br label %land.rhs

land.rhs:
  %2 = phi ptr [ %1, %land.rhs.lr.ph ], [ %13, %for.inc ]
  %i.097 = phi i64 [ 0, %land.rhs.lr.ph ], [ %inc, %for.inc ]
  %3 = load i64, ptr %n_segments, align 8
  %cmp = icmp slt i64 %i.097, %3
  br i1 %cmp, label %for.body, label %for.cond.cleanup

for.cond.cleanup:
  %4 = load ptr, ptr %0, align 8
  %lines = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 9
  %5 = load i64, ptr %lines, align 8
  %grain = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 10
  %6 = load i64, ptr %grain, align 8
  %call = tail call i32 %4(i64 noundef 0, i64 noundef %5, i64 noundef %6, ptr noundef nonnull @update_lines, ptr noundef nonnull %table)
  %tobool6.not = icmp eq i32 %call, 0
  br i1 %tobool6.not, label %for.cond10.preheader, label %cleanup54

for.cond10.preheader:
  %7 = load i64, ptr %n_segments, align 8
  %cmp12103 = icmp sgt i64 %7, 0
  br i1 %cmp12103, label %for.body14.lr.ph, label %cleanup54

for.body14.lr.ph:
  %segments15 = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 1
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
  %kept = getelementptr inbounds %struct.Segment, ptr %8, i64 %i9.0104, i32 13
  %16 = load i64, ptr %kept, align 8
  %cmp2598 = icmp sgt i64 %16, 0
  br i1 %cmp2598, label %cond.end.peel, label %cleanup

cond.end.peel:
  %looks21 = getelementptr inbounds %struct.Segment, ptr %8, i64 %i9.0104, i32 4
  %17 = load ptr, ptr %looks21, align 8
  %add.ptr = getelementptr inbounds %struct.Look, ptr %17, i64 1
  %copied = getelementptr inbounds %struct.Segment, ptr %8, i64 %i9.0104, i32 11
  %18 = load i64, ptr %copied, align 8
  %add.ptr22 = getelementptr inbounds %struct.Look, ptr %add.ptr, i64 %18
  %states = getelementptr inbounds %struct.Segment, ptr %8, i64 %i9.0104, i32 12
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
  %dtype.peel = getelementptr inbounds %struct.Look, ptr %add.ptr22, i64 %19, i32 2
  %23 = load i64, ptr %dtype.peel, align 8
  %tobool32.not.peel = icmp eq i64 %23, 0
  br i1 %tobool32.not.peel, label %land.lhs.true.peel.thread, label %if.then44.peel

land.lhs.true.peel.thread:
  %conv.peel = fptrunc double %add.peel to float
  %address.peel = getelementptr inbounds %struct.Look, ptr %add.ptr22, i64 %19, i32 6
  %24 = load ptr, ptr %address.peel, align 8
  store float %conv.peel, ptr %24, align 4
  %conv36.peel = fpext float %conv.peel to double
  %25 = load ptr, ptr %values, align 8
  store double %conv36.peel, ptr %25, align 8
  br label %if.end46.peel

if.then44.peel:
  %26 = load ptr, ptr %values, align 8
  store double %add.peel, ptr %26, align 8
  %address45.peel = getelementptr inbounds %struct.Look, ptr %add.ptr22, i64 %19, i32 6
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
  %dtype = getelementptr inbounds %struct.Look, ptr %add.ptr23.pn, i64 1, i32 2
  %33 = load i64, ptr %dtype, align 8
  %tobool32.not = icmp eq i64 %33, 0
  br i1 %tobool32.not, label %land.lhs.true.thread, label %if.then44

land.lhs.true.thread:
  %conv = fptrunc double %31 to float
  %address = getelementptr inbounds %struct.Look, ptr %add.ptr23.pn, i64 1, i32 6
  %34 = load ptr, ptr %address, align 8
  store float %conv, ptr %34, align 4
  %conv36 = fpext float %conv to double
  %arrayidx38 = getelementptr inbounds double, ptr %29, i64 %k.0101
  store double %conv36, ptr %arrayidx38, align 8
  br label %if.end46

if.then44:
  %arrayidx35 = getelementptr inbounds double, ptr %29, i64 %k.0101
  store double %31, ptr %arrayidx35, align 8
  %address45 = getelementptr inbounds %struct.Look, ptr %add.ptr23.pn, i64 1, i32 6
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
  %n_segments.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 2
  %0 = load i64, ptr %n_segments.i, align 8
  %cmp72.i = icmp sgt i64 %0, 1
  br i1 %cmp72.i, label %while.body.lr.ph.i, label %for.cond.preheader.i

while.body.lr.ph.i:
  %segments.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 1
  %1 = load ptr, ptr %segments.i, align 8
  br label %while.body.i

for.cond.preheader.i:
  %low.0.lcssa.i = phi i64 [ 0, %entry ], [ %low.0.div.i, %while.body.i ]
  %segments4.i = getelementptr inbounds %struct.Table, ptr %table, i64 0, i32 1
  %cmp375.i = icmp slt i64 %low.0.lcssa.i, %0
  br i1 %cmp375.i, label %for.body.i, label %walk.exit

while.body.i:
  %low.074.i = phi i64 [ 0, %while.body.lr.ph.i ], [ %low.0.div.i, %while.body.i ]
  %high.073.i = phi i64 [ %0, %while.body.lr.ph.i ], [ %div.high.0.i, %while.body.i ]
  %add.i = add nsw i64 %high.073.i, %low.074.i
  %div.i = sdiv i64 %add.i, 2
  %first_line.i = getelementptr inbounds %struct.Segment, ptr %1, i64 %div.i, i32 14
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
  %first_line6.i = getelementptr inbounds %struct.Segment, ptr %4, i64 %i.077.i, i32 14
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

define internal fastcc noundef zeroext i1 @fits(ptr noundef readonly %torch, ptr noundef %tensor, i64 noundef %dtype, ptr noundef readonly %look) nounwind "no-builtins" {
entry:
  %word = alloca i32, align 4
  %dim = alloca i64, align 8
  %sizes = alloca ptr, align 8
  %strides = alloca ptr, align 8
  %layout = getelementptr inbounds %struct.Torch, ptr %torch, i64 0, i32 2
  %0 = load ptr, ptr %layout, align 8
  %call = call i32 %0(ptr noundef %tensor, ptr noundef nonnull %word)
  %tobool = icmp ne i32 %call, 0
  %1 = load i32, ptr %word, align 4
  %cmp = icmp ne i32 %1, 0
  %or.cond = select i1 %tobool, i1 true, i1 %cmp
  br i1 %or.cond, label %cleanup65, label %if.end

if.end:
  %device = getelementptr inbounds %struct.Torch, ptr %torch, i64 0, i32 3
  %2 = load ptr, ptr %device, align 8
  %call1 = call i32 %2(ptr noundef %tensor, ptr noundef nonnull %word)
  %tobool2 = icmp ne i32 %call1, 0
  %3 = load i32, ptr %word, align 4
  %cmp4 = icmp ne i32 %3, 0
  %or.cond69 = select i1 %tobool2, i1 true, i1 %cmp4
  br i1 %or.cond69, label %cleanup65, label %if.end6

if.end6:
  %dtype7 = getelementptr inbounds %struct.Torch, ptr %torch, i64 0, i32 4
  %4 = load ptr, ptr %dtype7, align 8
  %call8 = call i32 %4(ptr noundef %tensor, ptr noundef nonnull %word)
  %tobool9.not = icmp eq i32 %call8, 0
  %5 = load i32, ptr %word, align 4
  %conv = sext i32 %5 to i64
  %cmp11.not = icmp eq i64 %conv, %dtype
  %or.cond96 = select i1 %tobool9.not, i1 %cmp11.not, i1 false
  br i1 %or.cond96, label %if.end14, label %cleanup65

if.end14:
  %is_neg = getelementptr inbounds %struct.Torch, ptr %torch, i64 0, i32 9
  %6 = load ptr, ptr %is_neg, align 8
  %tobool15.not = icmp eq ptr %6, null
  br i1 %tobool15.not, label %if.end20, label %land.lhs.true

land.lhs.true:
  %call17 = call i1 %6(ptr noundef %tensor)
  br i1 %call17, label %cleanup65, label %if.end20

if.end20:
  %is_conj = getelementptr inbounds %struct.Torch, ptr %torch, i64 0, i32 10
  %7 = load ptr, ptr %is_conj, align 8
  %tobool21.not = icmp eq ptr %7, null
  br i1 %tobool21.not, label %if.end27, label %land.lhs.true22

land.lhs.true22:
  %call24 = call i1 %7(ptr noundef %tensor)
  br i1 %call24, label %cleanup65, label %if.end27

if.end27:
  %dim28 = getelementptr inbounds %struct.Torch, ptr %torch, i64 0, i32 5
  %8 = load ptr, ptr %dim28, align 8
  %call29 = call i32 %8(ptr noundef %tensor, ptr noundef nonnull %dim)
  %tobool30.not = icmp eq i32 %call29, 0
  br i1 %tobool30.not, label %lor.lhs.false31, label %cleanup65

lor.lhs.false31:
  %9 = load i64, ptr %dim, align 8
  %dim32 = getelementptr inbounds %struct.Look, ptr %look, i64 0, i32 3
  %10 = load i64, ptr %dim32, align 8
  %cmp33.not = icmp eq i64 %9, %10
  br i1 %cmp33.not, label %if.end36, label %cleanup65

if.end36:
  %sizes37 = getelementptr inbounds %struct.Torch, ptr %torch, i64 0, i32 6
  %11 = load ptr, ptr %sizes37, align 8
  %call38 = call i32 %11(ptr noundef %tensor, ptr noundef nonnull %sizes)
  %tobool39.not = icmp eq i32 %call38, 0
  br i1 %tobool39.not, label %lor.lhs.false40, label %cleanup65

lor.lhs.false40:
  %strides41 = getelementptr inbounds %struct.Torch, ptr %torch, i64 0, i32 7
  %12 = load ptr, ptr %strides41, align 8
  %call42 = call i32 %12(ptr noundef %tensor, ptr noundef nonnull %strides)
  %tobool43.not = icmp eq i32 %call42, 0
  br i1 %tobool43.not, label %for.cond.preheader, label %cleanup65

for.cond.preheader:
  %13 = load i64, ptr %dim, align 8
  %cmp46.not98 = icmp slt i64 %13, 1
  br i1 %cmp46.not98, label %cleanup65, label %for.body.lr.ph

for.body.lr.ph:
  %14 = load ptr, ptr %sizes, align 8
  %sizes48 = getelementptr inbounds %struct.Look, ptr %look, i64 0, i32 4
  %15 = load ptr, ptr %sizes48, align 8
  %16 = load ptr, ptr %strides, align 8
  %strides55 = getelementptr inbounds %struct.Look, ptr %look, i64 0, i32 5
  br label %for.body

for.cond:
  %inc = add nuw nsw i64 %d.099, 1
  %exitcond = icmp eq i64 %inc, %13
  br i1 %exitcond, label %cleanup65, label %for.body

for.body:
  %d.099 = phi i64 [ 0, %for.body.lr.ph ], [ %inc, %for.cond ]
  %arrayidx = getelementptr inbounds i64, ptr %14, i64 %d.099
  %17 = load i64, ptr %arrayidx, align 8
  %arrayidx49 = getelementptr inbounds i64, ptr %15, i64 %d.099
  %18 = load i64, ptr %arrayidx49, align 8
  %cmp50.not = icmp eq i64 %17, %18
  br i1 %cmp50.not, label %if.end53, label %cleanup65

if.end53:
  %arrayidx54 = getelementptr inbounds i64, ptr %16, i64 %d.099
  %19 = load i64, ptr %arrayidx54, align 8
  %20 = load ptr, ptr %strides55, align 8
  %arrayidx56 = getelementptr inbounds i64, ptr %20, i64 %d.099
  %21 = load i64, ptr %arrayidx56, align 8
  %cmp57.not = icmp ne i64 %19, %21
  %cmp61 = icmp sgt i64 %17, 1
  %or.cond97 = and i1 %cmp61, %cmp57.not
  br i1 %or.cond97, label %cleanup65, label %for.cond

cleanup65:
  %retval.1 = phi i1 [ false, %entry ], [ false, %if.end ], [ false, %if.end6 ], [ false, %land.lhs.true ], [ false, %land.lhs.true22 ], [ false, %lor.lhs.false31 ], [ false, %if.end27 ], [ false, %lor.lhs.false40 ], [ false, %if.end36 ], [ true, %for.cond.preheader ], [ false, %for.body ], [ false, %if.end53 ], [ true, %for.cond ]
  ret i1 %retval.1
}

declare i64 @llvm.smax.i64(i64, i64)

declare i64 @llvm.smin.i64(i64, i64)
