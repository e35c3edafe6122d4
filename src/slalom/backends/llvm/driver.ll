
%struct.Table = type { ptr, ptr, i64, ptr, i64, ptr, ptr, i64, ptr, i64, i64 }
%struct.Segment = type { ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, i64, i64, i64, i64, i64, i64, i64 }
%struct.Look = type { ptr, ptr, i64, i64, ptr, ptr, ptr }
%struct.Torch = type { ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr }
%struct.Watch = type { ptr, ptr, i64, ptr, ptr }
%struct.Python = type { ptr, ptr, ptr, ptr, ptr }

; Function Attrs: nounwind uwtable
define i64 @gather(ptr nocapture %0) {
  %2 = alloca i8, align 1
  %3 = alloca i8, align 1
  %4 = alloca ptr, align 8
  %5 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 2
  %6 = load i64, ptr %5, align 8
  %7 = icmp sgt i64 %6, 0
  br i1 %7, label %8, label %255

8:                                                ; preds = %1
  %9 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 1
  %10 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 5
  %11 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 7
  %12 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 6
  %13 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 6
  br label %18

14:                                               ; preds = %252
  %15 = add nuw nsw i64 %22, 1
  %16 = load i64, ptr %5, align 8
  %17 = icmp slt i64 %15, %16
  br i1 %17, label %18, label %255

18:                                               ; preds = %8, %14
  %19 = phi i1 [ %7, %8 ], [ %17, %14 ]
  %20 = phi i64 [ 0, %8 ], [ %254, %14 ]
  %21 = phi i64 [ 0, %8 ], [ %253, %14 ]
  %22 = phi i64 [ 0, %8 ], [ %15, %14 ]
  %23 = load ptr, ptr %9, align 8
  %24 = load ptr, ptr %0, align 8
  %25 = getelementptr inbounds %struct.Segment, ptr %23, i64 %22, i32 4
  %26 = load ptr, ptr %25, align 8
  %27 = getelementptr inbounds %struct.Look, ptr %26, i64 1
  call void @llvm.lifetime.start.p0(i64 8, ptr nonnull %4)
  %28 = getelementptr inbounds %struct.Look, ptr %26, i64 0, i32 1
  %29 = load ptr, ptr %28, align 8
  %30 = icmp eq ptr %29, null
  br i1 %30, label %35, label %31

31:                                               ; preds = %18
  %32 = load ptr, ptr %29, align 8
  %33 = load ptr, ptr %26, align 8
  %34 = icmp eq ptr %32, %33
  br i1 %34, label %35, label %236

35:                                               ; preds = %31, %18
  %36 = getelementptr inbounds %struct.Look, ptr %26, i64 0, i32 2
  %37 = load i64, ptr %36, align 8
  %38 = call fastcc zeroext i1 @fits(ptr %24, ptr %26, i64 %37, ptr %26)
  br i1 %38, label %39, label %236

39:                                               ; preds = %35
  %40 = getelementptr inbounds %struct.Torch, ptr %24, i64 0, i32 8
  %41 = load ptr, ptr %40, align 8
  %42 = call i32 %41(ptr %26, ptr nonnull %4)
  %43 = icmp eq i32 %42, 0
  br i1 %43, label %44, label %236

44:                                               ; preds = %39
  %45 = load ptr, ptr %4, align 8
  %46 = icmp eq ptr %45, null
  br i1 %46, label %47, label %51

47:                                               ; preds = %44
  %48 = getelementptr inbounds %struct.Segment, ptr %23, i64 %22, i32 8
  %49 = load i64, ptr %48, align 8
  %50 = icmp eq i64 %49, 0
  br i1 %50, label %51, label %236

51:                                               ; preds = %47, %44
  %52 = getelementptr inbounds %struct.Look, ptr %26, i64 0, i32 6
  %53 = load ptr, ptr %52, align 8
  %54 = icmp eq ptr %45, %53
  %55 = select i1 %54, i64 0, i64 2
  store ptr %45, ptr %52, align 8
  %56 = getelementptr inbounds %struct.Segment, ptr %23, i64 %22, i32 5
  %57 = load ptr, ptr %56, align 8
  store ptr %45, ptr %57, align 8
  %58 = load ptr, ptr %0, align 8
  call void @llvm.lifetime.start.p0(i64 1, ptr nonnull %3)
  store i8 0, ptr %3, align 1
  %59 = getelementptr inbounds %struct.Torch, ptr %58, i64 0, i32 12
  %60 = load ptr, ptr %59, align 8
  %61 = icmp eq ptr %60, null
  br i1 %61, label %62, label %68

62:                                               ; preds = %51
  %63 = load ptr, ptr %10, align 8
  %64 = getelementptr inbounds ptr, ptr %63, i64 %22
  %65 = load ptr, ptr %64, align 8
  %66 = icmp eq ptr %65, null
  %67 = select i1 %66, ptr null, ptr %64
  br label %79

68:                                               ; preds = %51
  %69 = load ptr, ptr %26, align 8
  %70 = call ptr %60(ptr %69)
  %71 = getelementptr inbounds %struct.Torch, ptr %58, i64 0, i32 1
  %72 = load ptr, ptr %71, align 8
  %73 = call i32 %72(ptr %70, ptr nonnull %3)
  %74 = icmp eq i32 %73, 0
  %75 = load i8, ptr %3, align 1
  %76 = icmp ne i8 %75, 0
  %77 = select i1 %74, i1 %76, i1 false
  %78 = select i1 %77, ptr %70, ptr null
  br label %79

79:                                               ; preds = %68, %62
  %80 = phi ptr [ %78, %68 ], [ %67, %62 ]
  call void @llvm.lifetime.end.p0(i64 1, ptr nonnull %3)
  %81 = getelementptr inbounds %struct.Segment, ptr %23, i64 %22, i32 7
  %82 = load ptr, ptr %81, align 8
  %83 = load i64, ptr %82, align 8
  %84 = icmp ne ptr %80, null
  %85 = zext i1 %84 to i64
  %86 = icmp ne i64 %83, %85
  %87 = zext i1 %86 to i64
  %88 = or i64 %55, %87
  store i64 %85, ptr %82, align 8
  %89 = getelementptr inbounds %struct.Segment, ptr %23, i64 %22, i32 11
  %90 = load i64, ptr %89, align 8
  %91 = icmp eq i64 %90, 0
  br i1 %91, label %98, label %92

92:                                               ; preds = %79
  %93 = getelementptr inbounds %struct.Look, ptr %26, i64 2
  %94 = getelementptr inbounds %struct.Look, ptr %26, i64 1, i32 6
  %95 = load ptr, ptr %94, align 8
  %96 = load ptr, ptr %56, align 8
  %97 = getelementptr inbounds ptr, ptr %96, i64 1
  store ptr %95, ptr %97, align 8
  br label %152

98:                                               ; preds = %79
  br i1 %84, label %99, label %152

99:                                               ; preds = %98
  %100 = getelementptr inbounds %struct.Segment, ptr %23, i64 %22, i32 10
  %101 = load i64, ptr %100, align 8
  %102 = call fastcc zeroext i1 @fits(ptr %24, ptr nonnull %80, i64 %101, ptr %26)
  br i1 %102, label %103, label %236

103:                                              ; preds = %99
  %104 = load ptr, ptr %40, align 8
  %105 = call i32 %104(ptr nonnull %80, ptr nonnull %4)
  %106 = icmp eq i32 %105, 0
  br i1 %106, label %107, label %236

107:                                              ; preds = %103
  %108 = load ptr, ptr %4, align 8
  %109 = icmp eq ptr %108, null
  br i1 %109, label %110, label %114

110:                                              ; preds = %107
  %111 = getelementptr inbounds %struct.Segment, ptr %23, i64 %22, i32 8
  %112 = load i64, ptr %111, align 8
  %113 = icmp eq i64 %112, 0
  br i1 %113, label %114, label %236

114:                                              ; preds = %110, %107
  %115 = load ptr, ptr %56, align 8
  %116 = getelementptr inbounds ptr, ptr %115, i64 1
  %117 = load ptr, ptr %116, align 8
  %118 = icmp eq ptr %108, %117
  br i1 %118, label %151, label %119

119:                                              ; preds = %114
  %120 = ptrtoint ptr %108 to i64
  %121 = getelementptr inbounds %struct.Segment, ptr %23, i64 %22, i32 9
  %122 = load i64, ptr %121, align 8
  %123 = add i64 %122, %120
  %124 = load i64, ptr %11, align 8
  %125 = icmp sgt i64 %124, 0
  br i1 %125, label %126, label %142

126:                                              ; preds = %119
  %127 = load ptr, ptr %12, align 8
  br label %128

128:                                              ; preds = %128, %126
  %129 = phi i64 [ 0, %126 ], [ %140, %128 ]
  %130 = phi i64 [ %124, %126 ], [ %139, %128 ]
  %131 = add nsw i64 %130, %129
  %132 = sdiv i64 %131, 2
  %133 = shl nsw i64 %132, 1
  %134 = or i64 %133, 1
  %135 = getelementptr inbounds i64, ptr %127, i64 %134
  %136 = load i64, ptr %135, align 8
  %137 = icmp ugt i64 %136, %120
  %138 = add nsw i64 %132, 1
  %139 = select i1 %137, i64 %132, i64 %130
  %140 = select i1 %137, i64 %129, i64 %138
  %141 = icmp slt i64 %140, %139
  br i1 %141, label %128, label %142

142:                                              ; preds = %128, %119
  %143 = phi i64 [ 0, %119 ], [ %140, %128 ]
  %144 = icmp slt i64 %143, %124
  br i1 %144, label %145, label %151

145:                                              ; preds = %142
  %146 = load ptr, ptr %13, align 8
  %147 = shl nsw i64 %143, 1
  %148 = getelementptr inbounds i64, ptr %146, i64 %147
  %149 = load i64, ptr %148, align 8
  %150 = icmp ult i64 %149, %123
  br i1 %150, label %236, label %151

151:                                              ; preds = %142, %145, %114
  store ptr %108, ptr %116, align 8
  br label %152

152:                                              ; preds = %151, %98, %92
  %153 = phi ptr [ %93, %92 ], [ %27, %98 ], [ %27, %151 ]
  %154 = getelementptr inbounds %struct.Segment, ptr %23, i64 %22, i32 12
  %155 = load i64, ptr %154, align 8
  %156 = icmp sgt i64 %155, 0
  br i1 %156, label %164, label %157

157:                                              ; preds = %183, %152
  %158 = phi ptr [ %153, %152 ], [ %188, %183 ]
  %159 = getelementptr inbounds %struct.Segment, ptr %23, i64 %22, i32 13
  %160 = load i64, ptr %159, align 8
  %161 = icmp sgt i64 %160, 0
  br i1 %161, label %162, label %236

162:                                              ; preds = %157
  %163 = getelementptr inbounds %struct.Segment, ptr %23, i64 %22, i32 6
  br label %191

164:                                              ; preds = %152, %183
  %165 = phi i64 [ %187, %183 ], [ 0, %152 ]
  %166 = phi ptr [ %188, %183 ], [ %153, %152 ]
  %167 = getelementptr inbounds %struct.Look, ptr %166, i64 0, i32 1
  %168 = load ptr, ptr %167, align 8
  %169 = icmp eq ptr %168, null
  br i1 %169, label %174, label %170

170:                                              ; preds = %164
  %171 = load ptr, ptr %168, align 8
  %172 = load ptr, ptr %166, align 8
  %173 = icmp eq ptr %171, %172
  br i1 %173, label %174, label %236

174:                                              ; preds = %170, %164
  %175 = load ptr, ptr %40, align 8
  %176 = call i32 %175(ptr %166, ptr nonnull %4)
  %177 = icmp eq i32 %176, 0
  br i1 %177, label %178, label %236

178:                                              ; preds = %174
  %179 = load ptr, ptr %4, align 8
  %180 = getelementptr inbounds %struct.Look, ptr %166, i64 0, i32 6
  %181 = load ptr, ptr %180, align 8
  %182 = icmp eq ptr %179, %181
  br i1 %182, label %183, label %236

183:                                              ; preds = %178
  %184 = load ptr, ptr %56, align 8
  %185 = add nuw nsw i64 %165, 2
  %186 = getelementptr inbounds ptr, ptr %184, i64 %185
  store ptr %179, ptr %186, align 8
  %187 = add nuw nsw i64 %165, 1
  %188 = getelementptr inbounds %struct.Look, ptr %166, i64 1
  %189 = load i64, ptr %154, align 8
  %190 = icmp slt i64 %187, %189
  br i1 %190, label %164, label %157

191:                                              ; preds = %230, %162
  %192 = phi i64 [ 0, %162 ], [ %232, %230 ]
  %193 = phi ptr [ %158, %162 ], [ %233, %230 ]
  %194 = phi i64 [ %88, %162 ], [ %231, %230 ]
  %195 = load ptr, ptr %193, align 8
  %196 = icmp eq ptr %195, null
  br i1 %196, label %230, label %197

197:                                              ; preds = %191
  %198 = getelementptr inbounds %struct.Look, ptr %193, i64 0, i32 1
  %199 = load ptr, ptr %198, align 8
  %200 = icmp eq ptr %199, null
  br i1 %200, label %204, label %201

201:                                              ; preds = %197
  %202 = load ptr, ptr %199, align 8
  %203 = icmp eq ptr %202, %195
  br i1 %203, label %204, label %236

204:                                              ; preds = %201, %197
  %205 = load ptr, ptr %40, align 8
  %206 = call i32 %205(ptr nonnull %193, ptr nonnull %4)
  %207 = icmp eq i32 %206, 0
  br i1 %207, label %208, label %236

208:                                              ; preds = %204
  %209 = load ptr, ptr %4, align 8
  %210 = getelementptr inbounds %struct.Look, ptr %193, i64 0, i32 6
  %211 = load ptr, ptr %210, align 8
  %212 = icmp eq ptr %209, %211
  br i1 %212, label %213, label %236

213:                                              ; preds = %208
  %214 = getelementptr inbounds %struct.Look, ptr %193, i64 0, i32 2
  %215 = load i64, ptr %214, align 8
  %216 = icmp eq i64 %215, 0
  br i1 %216, label %219, label %217

217:                                              ; preds = %213
  %218 = load double, ptr %209, align 8
  br label %222

219:                                              ; preds = %213
  %220 = load float, ptr %209, align 4
  %221 = fpext float %220 to double
  br label %222

222:                                              ; preds = %219, %217
  %223 = phi double [ %218, %217 ], [ %221, %219 ]
  %224 = load ptr, ptr %163, align 8
  %225 = getelementptr inbounds double, ptr %224, i64 %192
  %226 = load double, ptr %225, align 8
  %227 = fcmp une double %223, %226
  %228 = zext i1 %227 to i64
  %229 = or i64 %194, %228
  store double %223, ptr %225, align 8
  br label %230

230:                                              ; preds = %222, %191
  %231 = phi i64 [ %229, %222 ], [ %194, %191 ]
  %232 = add nuw nsw i64 %192, 1
  %233 = getelementptr inbounds %struct.Look, ptr %193, i64 1
  %234 = load i64, ptr %159, align 8
  %235 = icmp slt i64 %232, %234
  br i1 %235, label %191, label %236

236:                                              ; preds = %170, %174, %178, %201, %204, %208, %230, %31, %35, %39, %47, %99, %103, %110, %145, %157
  %237 = phi i64 [ -1, %35 ], [ -1, %31 ], [ -1, %47 ], [ -1, %39 ], [ -1, %99 ], [ -1, %110 ], [ -1, %103 ], [ -1, %145 ], [ %88, %157 ], [ -1, %201 ], [ -1, %204 ], [ -1, %208 ], [ %231, %230 ], [ -1, %178 ], [ -1, %174 ], [ -1, %170 ]
  call void @llvm.lifetime.end.p0(i64 8, ptr nonnull %4)
  %238 = icmp eq i64 %237, -1
  br i1 %238, label %252, label %239

239:                                              ; preds = %236
  %240 = or i64 %237, %20
  %241 = getelementptr inbounds %struct.Segment, ptr %23, i64 %22, i32 14
  store i64 %21, ptr %241, align 8
  %242 = getelementptr inbounds %struct.Segment, ptr %23, i64 %22, i32 7
  %243 = load ptr, ptr %242, align 8
  %244 = load i64, ptr %243, align 8
  %245 = icmp eq i64 %244, 0
  br i1 %245, label %252, label %246

246:                                              ; preds = %239
  %247 = getelementptr inbounds %struct.Segment, ptr %23, i64 %22, i32 8
  %248 = load i64, ptr %247, align 8
  %249 = add nsw i64 %248, 15
  %250 = sdiv i64 %249, 16
  %251 = add nsw i64 %250, %21
  br label %252

252:                                              ; preds = %239, %246, %236
  %253 = phi i64 [ %21, %236 ], [ %251, %246 ], [ %21, %239 ]
  %254 = phi i64 [ %20, %236 ], [ %240, %246 ], [ %240, %239 ]
  br i1 %238, label %255, label %14

255:                                              ; preds = %252, %14, %1
  %256 = phi i1 [ %7, %1 ], [ %19, %252 ], [ %17, %14 ]
  %257 = phi i64 [ 0, %1 ], [ %253, %14 ], [ %253, %252 ]
  %258 = phi i64 [ 0, %1 ], [ %254, %14 ], [ %254, %252 ]
  %259 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 2
  br i1 %256, label %311, label %260

260:                                              ; preds = %255
  %261 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 4
  %262 = load i64, ptr %261, align 8
  %263 = icmp sgt i64 %262, 0
  br i1 %263, label %264, label %309

264:                                              ; preds = %260
  %265 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 3
  %266 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 5
  br label %271

267:                                              ; preds = %306
  %268 = add nuw nsw i64 %272, 1
  %269 = load i64, ptr %261, align 8
  %270 = icmp slt i64 %268, %269
  br i1 %270, label %271, label %309

271:                                              ; preds = %264, %267
  %272 = phi i64 [ 0, %264 ], [ %268, %267 ]
  %273 = load ptr, ptr %265, align 8
  %274 = getelementptr inbounds %struct.Look, ptr %273, i64 %272
  %275 = getelementptr inbounds %struct.Look, ptr %273, i64 %272, i32 1
  %276 = load ptr, ptr %275, align 8
  %277 = icmp eq ptr %276, null
  br i1 %277, label %282, label %278

278:                                              ; preds = %271
  %279 = load ptr, ptr %276, align 8
  %280 = load ptr, ptr %274, align 8
  %281 = icmp eq ptr %279, %280
  br i1 %281, label %282, label %311

282:                                              ; preds = %271, %278
  %283 = load i64, ptr %259, align 8
  %284 = load ptr, ptr %0, align 8
  call void @llvm.lifetime.start.p0(i64 1, ptr nonnull %2)
  store i8 0, ptr %2, align 1
  %285 = getelementptr inbounds %struct.Torch, ptr %284, i64 0, i32 12
  %286 = load ptr, ptr %285, align 8
  %287 = icmp eq ptr %286, null
  br i1 %287, label %288, label %295

288:                                              ; preds = %282
  %289 = add nsw i64 %283, %272
  %290 = load ptr, ptr %266, align 8
  %291 = getelementptr inbounds ptr, ptr %290, i64 %289
  %292 = load ptr, ptr %291, align 8
  %293 = icmp eq ptr %292, null
  %294 = select i1 %293, ptr null, ptr %291
  br label %306

295:                                              ; preds = %282
  %296 = load ptr, ptr %274, align 8
  %297 = call ptr %286(ptr %296)
  %298 = getelementptr inbounds %struct.Torch, ptr %284, i64 0, i32 1
  %299 = load ptr, ptr %298, align 8
  %300 = call i32 %299(ptr %297, ptr nonnull %2)
  %301 = icmp eq i32 %300, 0
  %302 = load i8, ptr %2, align 1
  %303 = icmp ne i8 %302, 0
  %304 = select i1 %301, i1 %303, i1 false
  %305 = select i1 %304, ptr %297, ptr null
  br label %306

306:                                              ; preds = %288, %295
  %307 = phi ptr [ %305, %295 ], [ %294, %288 ]
  call void @llvm.lifetime.end.p0(i64 1, ptr nonnull %2)
  %308 = icmp eq ptr %307, null
  br i1 %308, label %267, label %311

309:                                              ; preds = %267, %260
  %310 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 9
  store i64 %257, ptr %310, align 8
  br label %311

311:                                              ; preds = %278, %306, %255, %309
  %312 = phi i64 [ %258, %309 ], [ -1, %255 ], [ -1, %306 ], [ -1, %278 ]
  ret i64 %312
}

; Function Attrs: mustprogress nocallback nofree nosync nounwind willreturn memory(argmem: readwrite)
declare void @llvm.lifetime.start.p0(i64 immarg, ptr nocapture)

; Function Attrs: mustprogress nocallback nofree nosync nounwind willreturn memory(argmem: readwrite)
declare void @llvm.lifetime.end.p0(i64 immarg, ptr nocapture)

; Function Attrs: nounwind uwtable
define i32 @measure(ptr %0) {
  %2 = load ptr, ptr %0, align 8
  %3 = load ptr, ptr %2, align 8
  %4 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 9
  %5 = load i64, ptr %4, align 8
  %6 = add nsw i64 %5, 255
  %7 = sdiv i64 %6, 256
  %8 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 10
  %9 = load i64, ptr %8, align 8
  %10 = add nsw i64 %9, 255
  %11 = sdiv i64 %10, 256
  %12 = tail call i32 %3(i64 0, i64 %7, i64 %11, ptr nonnull @measure_blocks, ptr nonnull %0)
  ret i32 %12
}

; Function Attrs: nounwind uwtable
define internal void @measure_blocks(i64 %0, i64 %1, ptr nocapture readonly %2) {
  %4 = icmp slt i64 %0, %1
  br i1 %4, label %5, label %7

5:                                                ; preds = %3
  %6 = getelementptr inbounds %struct.Table, ptr %2, i64 0, i32 8
  br label %8

7:                                                ; preds = %8, %3
  ret void

8:                                                ; preds = %5, %8
  %9 = phi i64 [ %0, %5 ], [ %11, %8 ]
  %10 = shl nsw i64 %9, 8
  %11 = add nsw i64 %9, 1
  %12 = shl nsw i64 %11, 8
  %13 = tail call fastcc double @walk(ptr %2, i64 %10, i64 %12, i1 zeroext true)
  %14 = load ptr, ptr %6, align 8
  %15 = getelementptr inbounds double, ptr %14, i64 %9
  store double %13, ptr %15, align 8
  %16 = icmp eq i64 %11, %1
  br i1 %16, label %7, label %8
}

; Function Attrs: nounwind uwtable
define i32 @run(ptr %0) {
  %2 = load ptr, ptr %0, align 8
  %3 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 2
  %4 = getelementptr inbounds %struct.Torch, ptr %2, i64 0, i32 11
  %5 = load ptr, ptr %4, align 8
  %6 = icmp eq ptr %5, null
  br i1 %6, label %14, label %7

7:                                                ; preds = %1
  %8 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 1
  br label %9

9:                                                ; preds = %7, %38
  %10 = phi ptr [ %5, %7 ], [ %40, %38 ]
  %11 = phi i64 [ 0, %7 ], [ %39, %38 ]
  %12 = load i64, ptr %3, align 8
  %13 = icmp slt i64 %11, %12
  br i1 %13, label %29, label %14

14:                                               ; preds = %9, %38, %1
  %15 = load ptr, ptr %2, align 8
  %16 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 9
  %17 = load i64, ptr %16, align 8
  %18 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 10
  %19 = load i64, ptr %18, align 8
  %20 = tail call i32 %15(i64 0, i64 %17, i64 %19, ptr nonnull @update_lines, ptr nonnull %0)
  %21 = icmp eq i32 %20, 0
  br i1 %21, label %22, label %116

22:                                               ; preds = %14
  %23 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 2
  %24 = load i64, ptr %23, align 8
  %25 = icmp sgt i64 %24, 0
  br i1 %25, label %26, label %116

26:                                               ; preds = %22
  %27 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 1
  %28 = load ptr, ptr %27, align 8
  br label %42

29:                                               ; preds = %9
  %30 = load ptr, ptr %8, align 8
  %31 = getelementptr inbounds %struct.Segment, ptr %30, i64 %11, i32 7
  %32 = load ptr, ptr %31, align 8
  %33 = load i64, ptr %32, align 8
  %34 = icmp eq i64 %33, 0
  br i1 %34, label %38, label %35

35:                                               ; preds = %29
  %36 = getelementptr inbounds %struct.Segment, ptr %30, i64 %11, i32 4
  %37 = load ptr, ptr %36, align 8
  tail call void %10(ptr %37)
  br label %38

38:                                               ; preds = %29, %35
  %39 = add nuw nsw i64 %11, 1
  %40 = load ptr, ptr %4, align 8
  %41 = icmp eq ptr %40, null
  br i1 %41, label %14, label %9

42:                                               ; preds = %26, %113
  %43 = phi i64 [ 0, %26 ], [ %114, %113 ]
  %44 = getelementptr inbounds %struct.Segment, ptr %28, i64 %43, i32 7
  %45 = load ptr, ptr %44, align 8
  %46 = load i64, ptr %45, align 8
  %47 = icmp eq i64 %46, 0
  br i1 %47, label %113, label %48

48:                                               ; preds = %42
  %49 = getelementptr inbounds %struct.Segment, ptr %28, i64 %43, i32 13
  %50 = load i64, ptr %49, align 8
  %51 = icmp sgt i64 %50, 0
  br i1 %51, label %52, label %113

52:                                               ; preds = %48
  %53 = getelementptr inbounds %struct.Segment, ptr %28, i64 %43, i32 4
  %54 = load ptr, ptr %53, align 8
  %55 = getelementptr inbounds %struct.Look, ptr %54, i64 1
  %56 = getelementptr inbounds %struct.Segment, ptr %28, i64 %43, i32 11
  %57 = load i64, ptr %56, align 8
  %58 = getelementptr inbounds %struct.Look, ptr %55, i64 %57
  %59 = getelementptr inbounds %struct.Segment, ptr %28, i64 %43, i32 12
  %60 = load i64, ptr %59, align 8
  %61 = getelementptr inbounds %struct.Look, ptr %58, i64 %60
  %62 = getelementptr inbounds %struct.Segment, ptr %28, i64 %43, i32 2
  %63 = getelementptr inbounds %struct.Segment, ptr %28, i64 %43, i32 6
  %64 = getelementptr inbounds %struct.Segment, ptr %28, i64 %43, i32 6
  %65 = getelementptr inbounds %struct.Segment, ptr %28, i64 %43, i32 6
  br label %66

66:                                               ; preds = %52, %109
  %67 = phi i64 [ 0, %52 ], [ %110, %109 ]
  %68 = phi ptr [ %61, %52 ], [ %111, %109 ]
  %69 = icmp eq i64 %67, 0
  br i1 %69, label %75, label %70

70:                                               ; preds = %66
  %71 = load ptr, ptr %62, align 8
  %72 = add nsw i64 %67, -1
  %73 = getelementptr inbounds double, ptr %71, i64 %72
  %74 = load double, ptr %73, align 8
  br label %79

75:                                               ; preds = %66
  %76 = load ptr, ptr %63, align 8
  %77 = load double, ptr %76, align 8
  %78 = fadd double %77, 1.000000e+00
  br label %79

79:                                               ; preds = %75, %70
  %80 = phi double [ %74, %70 ], [ %78, %75 ]
  %81 = load ptr, ptr %68, align 8
  %82 = icmp eq ptr %81, null
  br i1 %82, label %104, label %83

83:                                               ; preds = %79
  %84 = getelementptr inbounds %struct.Look, ptr %68, i64 0, i32 2
  %85 = load i64, ptr %84, align 8
  %86 = icmp eq i64 %85, 0
  br i1 %86, label %87, label %92

87:                                               ; preds = %83
  %88 = fptrunc double %80 to float
  %89 = getelementptr inbounds %struct.Look, ptr %68, i64 0, i32 6
  %90 = load ptr, ptr %89, align 8
  store float %88, ptr %90, align 4
  %91 = fpext float %88 to double
  br label %92

92:                                               ; preds = %83, %87
  %93 = phi ptr [ %64, %87 ], [ %65, %83 ]
  %94 = phi double [ %91, %87 ], [ %80, %83 ]
  %95 = load ptr, ptr %93, align 8
  %96 = getelementptr inbounds double, ptr %95, i64 %67
  store double %94, ptr %96, align 8
  br i1 %82, label %109, label %97

97:                                               ; preds = %92
  %98 = getelementptr inbounds %struct.Look, ptr %68, i64 0, i32 2
  %99 = load i64, ptr %98, align 8
  %100 = icmp eq i64 %99, 0
  br i1 %100, label %109, label %101

101:                                              ; preds = %97
  %102 = getelementptr inbounds %struct.Look, ptr %68, i64 0, i32 6
  %103 = load ptr, ptr %102, align 8
  br label %107

104:                                              ; preds = %79
  %105 = load ptr, ptr %65, align 8
  %106 = getelementptr inbounds double, ptr %105, i64 %67
  br label %107

107:                                              ; preds = %101, %104
  %108 = phi ptr [ %106, %104 ], [ %103, %101 ]
  store double %80, ptr %108, align 8
  br label %109

109:                                              ; preds = %107, %97, %92
  %110 = add nuw nsw i64 %67, 1
  %111 = getelementptr inbounds %struct.Look, ptr %68, i64 1
  %112 = icmp eq i64 %110, %50
  br i1 %112, label %113, label %66

113:                                              ; preds = %109, %48, %42
  %114 = add nuw nsw i64 %43, 1
  %115 = icmp eq i64 %114, %24
  br i1 %115, label %116, label %42

116:                                              ; preds = %113, %22, %14
  %117 = phi i32 [ %20, %14 ], [ 0, %22 ], [ 0, %113 ]
  ret i32 %117
}

; Function Attrs: nounwind uwtable
define internal void @update_lines(i64 %0, i64 %1, ptr nocapture readonly %2) {
  %4 = tail call fastcc double @walk(ptr %2, i64 %0, i64 %1, i1 zeroext false)
  ret void
}

; Function Attrs: nounwind uwtable
define i32 @alone(i64 %0, i64 %1, i64 %2, ptr nocapture readonly %3, ptr %4) {
  tail call void %3(i64 %0, i64 %1, ptr %4)
  ret i32 0
}

; Function Attrs: nounwind uwtable
define i64 @holds(ptr nocapture readonly %0, ptr %1, ptr %2) {
  %4 = alloca ptr, align 8
  %5 = alloca ptr, align 8
  %6 = alloca ptr, align 8
  %7 = alloca i64, align 8
  %8 = alloca i64, align 8
  %9 = load ptr, ptr %0, align 8
  %10 = getelementptr inbounds %struct.Watch, ptr %0, i64 0, i32 3
  %11 = load ptr, ptr %10, align 8
  call void @llvm.lifetime.start.p0(i64 8, ptr nonnull %4)
  call void @llvm.lifetime.start.p0(i64 8, ptr nonnull %5)
  call void @llvm.lifetime.start.p0(i64 8, ptr nonnull %6)
  %12 = getelementptr inbounds %struct.Python, ptr %9, i64 0, i32 2
  %13 = load ptr, ptr %12, align 8
  %14 = tail call i64 %13(ptr %1)
  %15 = getelementptr inbounds %struct.Watch, ptr %0, i64 0, i32 2
  %16 = load i64, ptr %15, align 8
  %17 = icmp eq i64 %14, %16
  br i1 %17, label %18, label %26

18:                                               ; preds = %3
  %19 = load i64, ptr %15, align 8
  %20 = icmp sgt i64 %19, 0
  br i1 %20, label %21, label %74

21:                                               ; preds = %18
  %22 = getelementptr inbounds %struct.Python, ptr %9, i64 0, i32 1
  %23 = getelementptr inbounds %struct.Python, ptr %9, i64 0, i32 3
  %24 = getelementptr inbounds %struct.Watch, ptr %0, i64 0, i32 1
  %25 = getelementptr inbounds %struct.Python, ptr %9, i64 0, i32 4
  br label %29

26:                                               ; preds = %3
  %27 = getelementptr inbounds %struct.Python, ptr %9, i64 0, i32 4
  %28 = load ptr, ptr %27, align 8
  tail call void %28()
  br label %126

29:                                               ; preds = %21, %69
  %30 = phi ptr [ %11, %21 ], [ %71, %69 ]
  %31 = phi i64 [ 0, %21 ], [ %70, %69 ]
  %32 = load ptr, ptr %22, align 8
  %33 = load ptr, ptr %23, align 8
  %34 = tail call ptr %33(ptr %1, i64 %31)
  %35 = load ptr, ptr %24, align 8
  %36 = tail call ptr %32(ptr %34, ptr %35)
  %37 = icmp eq ptr %36, null
  br i1 %37, label %41, label %38

38:                                               ; preds = %29
  %39 = load ptr, ptr %12, align 8
  %40 = tail call i64 %39(ptr nonnull %36)
  br label %41

41:                                               ; preds = %29, %38
  %42 = phi i64 [ %40, %38 ], [ -1, %29 ]
  %43 = icmp slt i64 %42, 0
  br i1 %43, label %49, label %44

44:                                               ; preds = %41
  %45 = icmp eq i64 %42, 0
  br i1 %45, label %62, label %46

46:                                               ; preds = %44
  %47 = shl i64 %42, 3
  %48 = getelementptr i8, ptr %30, i64 %47
  br label %51

49:                                               ; preds = %41
  %50 = load ptr, ptr %25, align 8
  tail call void %50()
  br label %66

51:                                               ; preds = %46, %58
  %52 = phi i64 [ %59, %58 ], [ 0, %46 ]
  %53 = phi ptr [ %60, %58 ], [ %30, %46 ]
  %54 = load ptr, ptr %23, align 8
  %55 = tail call ptr %54(ptr %36, i64 %52)
  %56 = load ptr, ptr %53, align 8
  %57 = icmp eq ptr %55, %56
  br i1 %57, label %58, label %66

58:                                               ; preds = %51
  %59 = add nuw nsw i64 %52, 1
  %60 = getelementptr inbounds ptr, ptr %53, i64 1
  %61 = icmp eq i64 %59, %42
  br i1 %61, label %62, label %51

62:                                               ; preds = %58, %44
  %63 = phi ptr [ %30, %44 ], [ %48, %58 ]
  %64 = load ptr, ptr %63, align 8
  %65 = icmp eq ptr %64, null
  br label %66

66:                                               ; preds = %51, %62, %49
  %67 = phi i1 [ false, %49 ], [ %65, %62 ], [ false, %51 ]
  %68 = phi ptr [ %30, %49 ], [ %63, %62 ], [ %53, %51 ]
  br i1 %67, label %69, label %126

69:                                               ; preds = %66
  %70 = add nuw nsw i64 %31, 1
  %71 = getelementptr inbounds ptr, ptr %68, i64 1
  %72 = load i64, ptr %15, align 8
  %73 = icmp slt i64 %70, %72
  br i1 %73, label %29, label %74

74:                                               ; preds = %69, %18
  %75 = getelementptr inbounds %struct.Watch, ptr %0, i64 0, i32 4
  %76 = load ptr, ptr %75, align 8
  call void @llvm.lifetime.start.p0(i64 8, ptr nonnull %7)
  store i64 0, ptr %7, align 8
  br label %77

77:                                               ; preds = %117, %74
  %78 = phi ptr [ %118, %117 ], [ %76, %74 ]
  br label %79

79:                                               ; preds = %77, %86
  %80 = load ptr, ptr %78, align 8
  %81 = icmp eq ptr %80, null
  br i1 %81, label %119, label %82

82:                                               ; preds = %79
  %83 = load ptr, ptr %9, align 8
  %84 = call i32 %83(ptr %2, ptr nonnull %7, ptr nonnull %4, ptr nonnull %5)
  %85 = icmp eq i32 %84, 0
  br i1 %85, label %119, label %86

86:                                               ; preds = %82
  %87 = load ptr, ptr %5, align 8
  %88 = load ptr, ptr %78, align 8
  %89 = icmp eq ptr %87, %88
  br i1 %89, label %90, label %79

90:                                               ; preds = %86
  %91 = getelementptr inbounds ptr, ptr %78, i64 1
  call void @llvm.lifetime.start.p0(i64 8, ptr nonnull %8)
  store i64 0, ptr %8, align 8
  br label %92

92:                                               ; preds = %111, %90
  %93 = phi ptr [ %112, %111 ], [ %91, %90 ]
  br label %94

94:                                               ; preds = %92, %102
  %95 = load ptr, ptr %93, align 8
  %96 = icmp eq ptr %95, null
  br i1 %96, label %114, label %97

97:                                               ; preds = %94
  %98 = load ptr, ptr %9, align 8
  %99 = load ptr, ptr %5, align 8
  %100 = call i32 %98(ptr %99, ptr nonnull %8, ptr nonnull %4, ptr nonnull %6)
  %101 = icmp eq i32 %100, 0
  br i1 %101, label %114, label %102

102:                                              ; preds = %97
  %103 = load ptr, ptr %4, align 8
  %104 = load ptr, ptr %93, align 8
  %105 = icmp eq ptr %103, %104
  br i1 %105, label %106, label %94

106:                                              ; preds = %102
  %107 = load ptr, ptr %6, align 8
  %108 = getelementptr inbounds ptr, ptr %93, i64 1
  %109 = load ptr, ptr %108, align 8
  %110 = icmp eq ptr %107, %109
  br i1 %110, label %111, label %113

111:                                              ; preds = %106
  %112 = getelementptr inbounds ptr, ptr %93, i64 2
  br label %92

113:                                              ; preds = %106
  call void @llvm.lifetime.end.p0(i64 8, ptr nonnull %8)
  br label %119

114:                                              ; preds = %97, %94
  call void @llvm.lifetime.end.p0(i64 8, ptr nonnull %8)
  %115 = load ptr, ptr %93, align 8
  %116 = icmp eq ptr %115, null
  br i1 %116, label %117, label %119

117:                                              ; preds = %114
  %118 = getelementptr inbounds ptr, ptr %93, i64 1
  br label %77

119:                                              ; preds = %114, %82, %79, %113
  %120 = phi i1 [ false, %113 ], [ true, %79 ], [ true, %82 ], [ false, %114 ]
  %121 = phi ptr [ %93, %113 ], [ %78, %79 ], [ %78, %82 ], [ %93, %114 ]
  call void @llvm.lifetime.end.p0(i64 8, ptr nonnull %7)
  br i1 %120, label %122, label %126

122:                                              ; preds = %119
  %123 = load ptr, ptr %121, align 8
  %124 = icmp eq ptr %123, null
  %125 = zext i1 %124 to i64
  br label %126

126:                                              ; preds = %66, %119, %122, %26
  %127 = phi i64 [ 0, %26 ], [ %125, %122 ], [ 0, %119 ], [ 0, %66 ]
  call void @llvm.lifetime.end.p0(i64 8, ptr nonnull %6)
  call void @llvm.lifetime.end.p0(i64 8, ptr nonnull %5)
  call void @llvm.lifetime.end.p0(i64 8, ptr nonnull %4)
  ret i64 %127
}

; Function Attrs: nounwind uwtable
define internal fastcc zeroext i1 @fits(ptr nocapture readonly %0, ptr %1, i64 %2, ptr nocapture readonly %3) unnamed_addr {
  %5 = alloca i32, align 4
  %6 = alloca i64, align 8
  %7 = alloca ptr, align 8
  %8 = alloca ptr, align 8
  call void @llvm.lifetime.start.p0(i64 4, ptr nonnull %5)
  call void @llvm.lifetime.start.p0(i64 8, ptr nonnull %6)
  call void @llvm.lifetime.start.p0(i64 8, ptr nonnull %7)
  call void @llvm.lifetime.start.p0(i64 8, ptr nonnull %8)
  %9 = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 2
  %10 = load ptr, ptr %9, align 8
  %11 = call i32 %10(ptr %1, ptr nonnull %5)
  %12 = icmp ne i32 %11, 0
  %13 = load i32, ptr %5, align 4
  %14 = icmp ne i32 %13, 0
  %15 = select i1 %12, i1 true, i1 %14
  br i1 %15, label %100, label %16

16:                                               ; preds = %4
  %17 = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 3
  %18 = load ptr, ptr %17, align 8
  %19 = call i32 %18(ptr %1, ptr nonnull %5)
  %20 = icmp ne i32 %19, 0
  %21 = load i32, ptr %5, align 4
  %22 = icmp ne i32 %21, 0
  %23 = select i1 %20, i1 true, i1 %22
  br i1 %23, label %100, label %24

24:                                               ; preds = %16
  %25 = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 4
  %26 = load ptr, ptr %25, align 8
  %27 = call i32 %26(ptr %1, ptr nonnull %5)
  %28 = icmp eq i32 %27, 0
  %29 = load i32, ptr %5, align 4
  %30 = sext i32 %29 to i64
  %31 = icmp eq i64 %30, %2
  %32 = select i1 %28, i1 %31, i1 false
  br i1 %32, label %33, label %100

33:                                               ; preds = %24
  %34 = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 9
  %35 = load ptr, ptr %34, align 8
  %36 = icmp eq ptr %35, null
  br i1 %36, label %39, label %37

37:                                               ; preds = %33
  %38 = call zeroext i1 %35(ptr %1)
  br i1 %38, label %100, label %39

39:                                               ; preds = %37, %33
  %40 = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 10
  %41 = load ptr, ptr %40, align 8
  %42 = icmp eq ptr %41, null
  br i1 %42, label %45, label %43

43:                                               ; preds = %39
  %44 = call zeroext i1 %41(ptr %1)
  br i1 %44, label %100, label %45

45:                                               ; preds = %43, %39
  %46 = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 5
  %47 = load ptr, ptr %46, align 8
  %48 = call i32 %47(ptr %1, ptr nonnull %6)
  %49 = icmp eq i32 %48, 0
  br i1 %49, label %50, label %100

50:                                               ; preds = %45
  %51 = load i64, ptr %6, align 8
  %52 = getelementptr inbounds %struct.Look, ptr %3, i64 0, i32 3
  %53 = load i64, ptr %52, align 8
  %54 = icmp eq i64 %51, %53
  br i1 %54, label %55, label %100

55:                                               ; preds = %50
  %56 = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 6
  %57 = load ptr, ptr %56, align 8
  %58 = call i32 %57(ptr %1, ptr nonnull %7)
  %59 = icmp eq i32 %58, 0
  br i1 %59, label %60, label %100

60:                                               ; preds = %55
  %61 = getelementptr inbounds %struct.Torch, ptr %0, i64 0, i32 7
  %62 = load ptr, ptr %61, align 8
  %63 = call i32 %62(ptr %1, ptr nonnull %8)
  %64 = icmp eq i32 %63, 0
  br i1 %64, label %65, label %100

65:                                               ; preds = %60
  %66 = load i64, ptr %6, align 8
  %67 = icmp slt i64 %66, 1
  br i1 %67, label %100, label %68

68:                                               ; preds = %65
  %69 = load ptr, ptr %7, align 8
  %70 = getelementptr inbounds %struct.Look, ptr %3, i64 0, i32 4
  %71 = load ptr, ptr %70, align 8
  %72 = load ptr, ptr %8, align 8
  %73 = getelementptr inbounds %struct.Look, ptr %3, i64 0, i32 5
  %74 = load i64, ptr %69, align 8
  %75 = load i64, ptr %71, align 8
  %76 = icmp eq i64 %74, %75
  br i1 %76, label %77, label %100

77:                                               ; preds = %68
  %78 = load ptr, ptr %73, align 8
  br label %89

79:                                               ; preds = %89
  %80 = add nuw nsw i64 %91, 1
  %81 = icmp sge i64 %80, %66
  %82 = icmp eq i64 %80, %66
  br i1 %82, label %100, label %83

83:                                               ; preds = %79
  %84 = getelementptr inbounds i64, ptr %69, i64 %80
  %85 = load i64, ptr %84, align 8
  %86 = getelementptr inbounds i64, ptr %71, i64 %80
  %87 = load i64, ptr %86, align 8
  %88 = icmp eq i64 %85, %87
  br i1 %88, label %89, label %100

89:                                               ; preds = %77, %83
  %90 = phi i64 [ %85, %83 ], [ %74, %77 ]
  %91 = phi i64 [ %80, %83 ], [ 0, %77 ]
  %92 = phi i1 [ %81, %83 ], [ %67, %77 ]
  %93 = getelementptr inbounds i64, ptr %72, i64 %91
  %94 = load i64, ptr %93, align 8
  %95 = getelementptr inbounds i64, ptr %78, i64 %91
  %96 = load i64, ptr %95, align 8
  %97 = icmp ne i64 %94, %96
  %98 = icmp sgt i64 %90, 1
  %99 = select i1 %97, i1 %98, i1 false
  br i1 %99, label %100, label %79

100:                                              ; preds = %79, %83, %89, %68, %65, %55, %60, %45, %50, %43, %37, %24, %16, %4
  %101 = phi i1 [ false, %4 ], [ false, %16 ], [ false, %24 ], [ false, %37 ], [ false, %43 ], [ false, %50 ], [ false, %45 ], [ false, %60 ], [ false, %55 ], [ %67, %65 ], [ %67, %68 ], [ %92, %89 ], [ %81, %83 ], [ %81, %79 ]
  call void @llvm.lifetime.end.p0(i64 8, ptr nonnull %8)
  call void @llvm.lifetime.end.p0(i64 8, ptr nonnull %7)
  call void @llvm.lifetime.end.p0(i64 8, ptr nonnull %6)
  call void @llvm.lifetime.end.p0(i64 4, ptr nonnull %5)
  ret i1 %101
}

; Function Attrs: nounwind uwtable
define internal fastcc double @walk(ptr nocapture readonly %0, i64 %1, i64 %2, i1 zeroext %3) unnamed_addr {
  %5 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 2
  %6 = load i64, ptr %5, align 8
  %7 = icmp sgt i64 %6, 1
  br i1 %7, label %8, label %11

8:                                                ; preds = %4
  %9 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 1
  %10 = load ptr, ptr %9, align 8
  br label %17

11:                                               ; preds = %17, %4
  %12 = phi i64 [ 0, %4 ], [ %26, %17 ]
  %13 = load i64, ptr %5, align 8
  %14 = icmp slt i64 %12, %13
  br i1 %14, label %15, label %73

15:                                               ; preds = %11
  %16 = getelementptr inbounds %struct.Table, ptr %0, i64 0, i32 1
  br label %29

17:                                               ; preds = %8, %17
  %18 = phi i64 [ 0, %8 ], [ %26, %17 ]
  %19 = phi i64 [ %6, %8 ], [ %25, %17 ]
  %20 = add nsw i64 %18, %19
  %21 = sdiv i64 %20, 2
  %22 = getelementptr inbounds %struct.Segment, ptr %10, i64 %21, i32 14
  %23 = load i64, ptr %22, align 8
  %24 = icmp sgt i64 %23, %1
  %25 = select i1 %24, i64 %21, i64 %19
  %26 = select i1 %24, i64 %18, i64 %21
  %27 = sub nsw i64 %25, %26
  %28 = icmp sgt i64 %27, 1
  br i1 %28, label %17, label %11

29:                                               ; preds = %15, %69
  %30 = phi i64 [ %12, %15 ], [ %70, %69 ]
  %31 = phi double [ 0.000000e+00, %15 ], [ %67, %69 ]
  %32 = load ptr, ptr %16, align 8
  %33 = getelementptr inbounds %struct.Segment, ptr %32, i64 %30
  %34 = getelementptr inbounds %struct.Segment, ptr %32, i64 %30, i32 14
  %35 = load i64, ptr %34, align 8
  %36 = icmp slt i64 %35, %2
  br i1 %36, label %37, label %66

37:                                               ; preds = %29
  %38 = getelementptr inbounds %struct.Segment, ptr %32, i64 %30, i32 7
  %39 = load ptr, ptr %38, align 8
  %40 = load i64, ptr %39, align 8
  %41 = icmp eq i64 %40, 0
  br i1 %41, label %66, label %42

42:                                               ; preds = %37
  %43 = sub nsw i64 %1, %35
  %44 = shl nsw i64 %43, 4
  %45 = sub nsw i64 %2, %35
  %46 = shl nsw i64 %45, 4
  %47 = tail call i64 @llvm.smax.i64(i64 %44, i64 0)
  %48 = getelementptr inbounds %struct.Segment, ptr %32, i64 %30, i32 8
  %49 = load i64, ptr %48, align 8
  %50 = tail call i64 @llvm.smin.i64(i64 %46, i64 %49)
  %51 = icmp slt i64 %47, %50
  br i1 %51, label %52, label %66

52:                                               ; preds = %42
  br i1 %3, label %53, label %60

53:                                               ; preds = %52
  %54 = getelementptr inbounds %struct.Segment, ptr %32, i64 %30, i32 3
  %55 = load ptr, ptr %54, align 8
  %56 = getelementptr inbounds %struct.Segment, ptr %32, i64 %30, i32 5
  %57 = load ptr, ptr %56, align 8
  %58 = tail call double %55(ptr %57, i64 %47, i64 %50)
  %59 = fadd double %31, %58
  br label %66

60:                                               ; preds = %52
  %61 = load ptr, ptr %33, align 8
  %62 = getelementptr inbounds %struct.Segment, ptr %32, i64 %30, i32 5
  %63 = load ptr, ptr %62, align 8
  %64 = getelementptr inbounds %struct.Segment, ptr %32, i64 %30, i32 1
  %65 = load ptr, ptr %64, align 8
  tail call void %61(ptr %63, ptr %65, i64 %47, i64 %50)
  br label %66

66:                                               ; preds = %42, %60, %53, %37, %29
  %67 = phi double [ %31, %29 ], [ %31, %37 ], [ %31, %42 ], [ %59, %53 ], [ %31, %60 ]
  %68 = phi i32 [ 4, %29 ], [ 6, %37 ], [ 6, %42 ], [ 0, %53 ], [ 0, %60 ]
  switch i32 %68, label %73 [
    i32 0, label %69
    i32 6, label %69
  ]

69:                                               ; preds = %66, %66
  %70 = add nsw i64 %30, 1
  %71 = load i64, ptr %5, align 8
  %72 = icmp slt i64 %70, %71
  br i1 %72, label %29, label %73

73:                                               ; preds = %66, %69, %11
  %74 = phi double [ 0.000000e+00, %11 ], [ %67, %69 ], [ %67, %66 ]
  ret double %74
}

; Function Attrs: nocallback nofree nosync nounwind speculatable willreturn memory(none)
declare i64 @llvm.smax.i64(i64, i64)

; Function Attrs: nocallback nofree nosync nounwind speculatable willreturn memory(none)
declare i64 @llvm.smin.i64(i64, i64)



