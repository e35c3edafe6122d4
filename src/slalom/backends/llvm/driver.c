/* The driver of a step, the same for every rule: look at every tensor, wherever it lies, then run
   every segment on torch's threads. gathering.py, launch.py and watch.py hand it the structures
   declared here.

   The functions in Torch and Python are called by address. A tensor is handed to torch's C interface
   as a pointer to a TensorImpl pointer, which is what an at::Tensor is; the first field of Look
   serves as that. */

#include <stdbool.h>
#include <stdint.h>

enum { LINE = 64 };   /* elements in a line, the unit that threads share out: a block of codes */
enum { AHEAD = 3 };   /* segments between one memory's fetching and what it points to */
enum { BLOCK = 64 };  /* lines in a block, the unit in which sums are taken */
enum { FEW = 16 };    /* blocks that one thread takes through all sweeps while they are in its cache */

/* What gather returns: STALE, or the sum of the others. */
enum { STALE = -1, SAME = 0, CHANGED = 1, MOVED = 2 };

typedef void Work(int64_t begin, int64_t end, void *context);

typedef struct {
    int32_t (*parallel_for)(int64_t begin, int64_t end, int64_t grain, Work *work, void *context);
    int32_t (*is_defined)(void *tensor, uint8_t *defined);
    int32_t (*layout)(void *tensor, int32_t *layout);
    int32_t (*device)(void *tensor, int32_t *type);
    int32_t (*device_index)(void *tensor, int32_t *index);
    int32_t (*dtype)(void *tensor, int32_t *dtype);
    int32_t (*dim)(void *tensor, int64_t *dim);
    int32_t (*sizes)(void *tensor, const int64_t **sizes);
    int32_t (*strides)(void *tensor, const int64_t **strides);
    int32_t (*data)(void *tensor, void **address);
    /* C++ functions, null where a build of torch does not export them: Python asks instead. */
    bool (*is_neg)(void *tensor);
    bool (*is_conj)(void *tensor);
    void (*bump_version)(void *tensor);
    void *(*grad)(void *impl);
} Torch;

typedef struct { /* in which words torch's objects keep what is looked at; see anatomy.py */
    int64_t storage, dim, sizes, strides, offset, kind, keys; /* of a TensorImpl */
    int64_t data, context;                                    /* of a StorageImpl */
    int64_t most_dims;   /* tensors of more have their sizes elsewhere */
    uint64_t kind_bits;  /* the bits of the word that say dtype and device */
    uint64_t plain;      /* the dispatch keys of a tensor that means no more than its memory */
    void *undefined;     /* the TensorImpl of a gradient that is not there */
} Anatomy;

typedef struct { /* what a tensor was when torch was asked last; equal words mean the same again */
    uint64_t kind, keys;
    int64_t itemsize; /* bytes of an element; 0 if there are none */
} Seen;

typedef struct { /* one tensor that a step looks at */
    void *impl;       /* its TensorImpl */
    void **holder;    /* where its Python object holds that, or null if not known */
    Seen seen;
    int32_t dtype;
    int32_t device;   /* its type, and in the lowest byte which one; 0 is the CPU */
    int64_t dim;
    const int64_t *sizes, *strides;
    void *address;    /* where its elements were when looked at last */
} Look;

typedef void Update(void **arrays, const double *row, int64_t begin, int64_t end, double *sums);
typedef void Between(void **arrays, const double *row, double *own);
typedef double Square(void **arrays, int64_t begin, int64_t end);

typedef struct { /* a sweep over the elements of a segment, and what is done before it */
    Between *before;     /* makes the sweep's row; before none, keeps the states that are one number */
    Update *sweep;       /* null in the last stage */
    int64_t sums, first; /* how many sums the sweep takes, and where they stand in the segment's own */
    int64_t columns, first_column; /* how many sums of each column, and in which slots they go */
} Stage;

typedef struct { /* one parameter with its gradient and all that is kept for it */
    Update *update;      /* of all that is done to it, where nothing is summed up */
    const Stage *stages; /* else what is done, one after the other */
    int64_t n_stages;
    int64_t block;       /* elements of which the sums are taken at once */
    int64_t width;       /* its columns, where something is summed up of each */
    double *slots;       /* of columns */
    double *own;         /* the row of its present sweep, and what was summed up */
    double *partial;     /* the sums of each of its blocks, those of columns behind the others */
    const double *row;   /* the scalars of its update */
    const double *next;  /* what the numbers of its rule become */
    Square *square;      /* sums the squares of its gradient */
    Look *looks;         /* the parameter, the copy of its gradient if any, states, kept numbers */
    void **arrays;       /* addresses of parameter, gradient, states */
    double *values;      /* its step count and the numbers of its rule */
    int64_t *present;    /* whether it has a gradient in this step */
    int64_t numel;
    int64_t bytes;       /* of its gradient */
    int64_t grad_dtype;
    Seen grad_seen;
    int64_t copied;      /* whether its gradient is a copy, made before */
    int64_t states, kept;
    int64_t first_line;
} Segment;

typedef struct {
    const Torch *torch;
    const Anatomy *anatomy; /* null where it was not found: torch is asked of everything */
    Segment *segments;
    int64_t n_segments;
    Look *absent;        /* parameters that must have no gradient */
    int64_t n_absent;
    void **grads;        /* TensorImpls of the gradients of segments and absent ones, if Python asks */
    uintptr_t *written;  /* begin and end of each run of memory that is written, in order */
    int64_t n_written;
    double *sums;        /* of squares, one a block */
    int64_t stage;       /* the one that is being run */
    int64_t lines;
    int64_t grain;       /* lines below which a step stays on one thread */
    int64_t fresh;       /* whether Python has looked at every tensor just now */
} Table;

/* Whether a tensor is of the shape and strides in the look, and else what was seen of it last. */
static bool same(const Anatomy *anatomy, void *tensor, const Seen *seen, const Look *look) {
    const uint64_t *impl = *(const uint64_t **)tensor;
    if ((impl[anatomy->kind] & anatomy->kind_bits) != seen->kind) return false;
    if (impl[anatomy->keys] != seen->keys || impl[anatomy->dim] != (uint64_t)look->dim) return false;
    for (int64_t d = 0; d < look->dim; d++) {
        if (impl[anatomy->sizes + d] != (uint64_t)look->sizes[d]) return false;
        if (impl[anatomy->strides + d] != (uint64_t)look->strides[d] && look->sizes[d] > 1) return false;
    }
    return true;
}

static bool lies_on(const Torch *torch, void *tensor, int32_t device) {
    int32_t type, index = 0;
    if (torch->device(tensor, &type) || type != device >> 8) return false;
    return !type || (!torch->device_index(tensor, &index) && index == (device & 255));
}

/* Whether a tensor is plain, of this dtype and of the device, shape and strides in the look. */
static bool fits(const Table *table, void *tensor, int64_t dtype, Seen *seen, const Look *look) {
    const Torch *torch = table->torch;
    const Anatomy *anatomy = table->anatomy;
    int32_t word;
    int64_t dim;
    const int64_t *sizes, *strides;
    bool known = anatomy && look->dim <= anatomy->most_dims;
    if (known && same(anatomy, tensor, seen, look)) return true;
    if (torch->layout(tensor, &word) || word != 0) return false;
    if (!lies_on(torch, tensor, look->device)) return false;
    if (torch->dtype(tensor, &word) || word != dtype) return false;
    if (torch->is_neg && torch->is_neg(tensor)) return false;
    if (torch->is_conj && torch->is_conj(tensor)) return false;
    if (torch->dim(tensor, &dim) || dim != look->dim) return false;
    if (torch->sizes(tensor, &sizes) || torch->strides(tensor, &strides)) return false;
    for (int64_t d = 0; d < dim; d++) {
        if (sizes[d] != look->sizes[d]) return false;
        if (strides[d] != look->strides[d] && sizes[d] > 1) return false;
    }
    if (anatomy) {
        const uint64_t *impl = *(const uint64_t **)tensor;
        uint64_t keys = impl[anatomy->keys];
        /* A subclass may mean something else than its memory holds: that is for Python to say. */
        if (keys != anatomy->plain && keys != seen->keys && !table->fresh) return false;
        seen->kind = impl[anatomy->kind] & anatomy->kind_bits;
        seen->keys = keys;
    }
    return true;
}

/* Find where the elements of a tensor are; false where torch does not say. Memory that is its own
   context came from torch's allocator and is nobody else's; torch is asked of all other, which may
   have to be copied before it is written to. */
static bool memory(const Table *table, void *tensor, const Seen *seen, void **address) {
    const Anatomy *anatomy = table->anatomy;
    if (anatomy && seen->itemsize) {
        const uint64_t *impl = *(const uint64_t **)tensor;
        const uint64_t *storage = (const uint64_t *)impl[anatomy->storage];
        uint64_t data = storage ? storage[anatomy->data] : 0;
        if (data && storage[anatomy->context] == data) {
            *address = (void *)(data + impl[anatomy->offset] * (uint64_t)seen->itemsize);
            return true;
        }
    }
    return !table->torch->data(tensor, address);
}

/* Whether a Python object still holds the tensor it held; torch.utils.swap_tensors gives another. */
static bool held(const Look *look) { return !look->holder || *look->holder == look->impl; }

/* Whether memory is among what the step writes. */
static bool written(const Table *table, uintptr_t begin, uintptr_t end) {
    int64_t low = 0, high = table->n_written; /* the first run that ends behind begin */
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (table->written[2 * middle + 1] > begin) high = middle;
        else low = middle + 1;
    }
    return low < table->n_written && table->written[2 * low] < end;
}

static void *gradient(const Table *table, const Look *look, int64_t place) {
    const Torch *torch = table->torch;
    uint8_t defined = 0;
    if (!torch->grad) return table->grads[place] ? &table->grads[place] : 0;
    void *grad = torch->grad(look->impl);
    if (table->anatomy) return *(void **)grad == table->anatomy->undefined ? 0 : grad;
    return torch->is_defined(grad, &defined) || !defined ? 0 : grad;
}

/* Whether a tensor that is kept is what it was and where it was. */
static bool unmoved(const Table *table, Look *look, void **address) {
    return held(look) && fits(table, look, look->dtype, &look->seen, look) &&
           memory(table, look, &look->seen, address) && *address == look->address;
}

static bool is_double(const Look *number) { return number->seen.itemsize == sizeof(double); }

static int64_t look_at(Table *table, Segment *segment, int64_t place) {
    Look *look = segment->looks, *param = look++;
    int64_t found = SAME;
    void *address;

    if (!held(param) || !fits(table, param, param->dtype, &param->seen, param)) return STALE;
    if (!memory(table, param, &param->seen, &address) || (!address && segment->numel)) return STALE;
    if (address != param->address) found |= MOVED;
    segment->arrays[0] = param->address = address;

    void *grad = gradient(table, param, place);
    if (*segment->present != (grad != 0)) found |= CHANGED;
    *segment->present = grad != 0;
    if (segment->copied) {
        segment->arrays[1] = (look++)->address;
    } else if (grad) {
        Seen *seen = &segment->grad_seen;
        if (!fits(table, grad, segment->grad_dtype, seen, param)) return STALE;
        if (!memory(table, grad, seen, &address) || (!address && segment->numel)) return STALE;
        uintptr_t begin = (uintptr_t)address;
        if (address != segment->arrays[1] && written(table, begin, begin + segment->bytes))
            found |= MOVED;
        else segment->arrays[1] = address;
    }
    for (int64_t i = 0; i < segment->states; i++, look++) {
        if (!unmoved(table, look, &address)) return STALE;
        segment->arrays[2 + i] = address;
    }
    for (int64_t i = 0; i < segment->kept; i++, look++) {
        if (!look->impl) continue; /* a count that no state holds */
        if (!unmoved(table, look, &address)) return STALE;
        double value = is_double(look) ? *(double *)address : *(float *)address;
        if (value != segment->values[i]) found |= CHANGED;
        segment->values[i] = value;
    }
    return found;
}

/* Have the memory of torch's objects fetched that will be looked at soon: in a training loop none of
   it is in a cache. First the tensors, and a few segments later what these point to. */
static void fetch(const Table *table, int64_t place) {
    const Anatomy *anatomy = table->anatomy;
    int64_t far = place + 2 * AHEAD, near = place + AHEAD;
    if (!anatomy) return;
    if (far < table->n_segments) {
        const Segment *segment = &table->segments[far];
        int64_t n = 1 + segment->copied + segment->states + segment->kept;
        for (int64_t i = 0; i < n; i++) {
            const uint64_t *impl = segment->looks[i].impl;
            __builtin_prefetch(impl + anatomy->storage);
            __builtin_prefetch(impl + anatomy->kind);
            if (segment->looks[i].holder) __builtin_prefetch(segment->looks[i].holder);
        }
    }
    if (near < table->n_segments) {
        const Segment *segment = &table->segments[near];
        int64_t n = 1 + segment->copied + segment->states + segment->kept;
        for (int64_t i = 0; i < n; i++) {
            const uint64_t *impl = segment->looks[i].impl;
            if (impl && held(&segment->looks[i]))
                __builtin_prefetch((const uint64_t *)impl[anatomy->storage] + anatomy->data);
        }
        void *grad = held(segment->looks) ? gradient(table, segment->looks, near) : 0;
        if (grad) __builtin_prefetch(*(uint64_t **)grad + anatomy->dim);
    }
}

/* Look at every tensor, and put down where its elements are and which gradients there are. STALE
   where one is not what the table was made for, and nothing must be run; MOVED where a parameter
   has other memory than before, or a gradient lies in what was written, which then has to be told
   anew, and all be gathered again. */
int64_t gather(Table *table) {
    int64_t found = SAME, line = 0;
    for (int64_t i = 0; i < table->n_segments; i++) {
        Segment *segment = &table->segments[i];
        fetch(table, i);
        int64_t one = look_at(table, segment, i);
        if (one == STALE) return STALE;
        found |= one;
        segment->first_line = line;
        if (*segment->present) line += (segment->numel + LINE - 1) / LINE;
    }
    for (int64_t i = 0; i < table->n_absent; i++) {
        Look *look = &table->absent[i];
        if (!held(look) || gradient(table, look, table->n_segments + i)) return STALE;
    }
    table->lines = line;
    table->fresh = false;
    return found;
}

static int64_t lines_of(const Segment *segment) { return (segment->numel + LINE - 1) / LINE; }

static bool is_small(const Segment *segment) { return segment->numel && segment->numel <= FEW * BLOCK * LINE; }

/* The blocks of a segment that begin before a line of it. */
static int64_t blocks_before(const Segment *segment, int64_t line) {
    int64_t end = line * LINE;
    if (end < 0) end = 0;
    if (end > segment->numel) end = segment->numel;
    return (end + segment->block - 1) / segment->block;
}

static int64_t sums_of(const Segment *segment, const Stage *stage) {
    return stage->sums + stage->columns * segment->width;
}

/* Add up what each block had, in their order, so that no sum depends on who computed it. */
static void add_up(const Segment *segment, const Stage *stage) {
    int64_t n = blocks_before(segment, lines_of(segment)), each = sums_of(segment, stage);
    for (int64_t i = 0; i < stage->sums; i++) {
        double total = 0;
        for (int64_t b = 0; b < n; b++) total += segment->partial[b * each + i];
        segment->own[stage->first + i] = total;
    }
    double *columns = segment->slots + stage->first_column * segment->width;
    for (int64_t i = 0; i < each - stage->sums; i++) columns[i] = 0;
    for (int64_t b = 0; b < n; b++)
        for (int64_t i = 0; i < each - stage->sums; i++)
            columns[i] += segment->partial[b * each + stage->sums + i];
}

/* Make a stage of a segment ready: what the one before summed up, and what hangs on that. */
static void begin_stage(Segment *segment, int64_t k) {
    if (k) add_up(segment, &segment->stages[k - 1]);
    segment->stages[k].before(segment->arrays, segment->row, segment->own);
}

/* Sweep over some blocks of a segment, each by itself. */
static void sweep(const Segment *segment, int64_t k, int64_t begin, int64_t end) {
    const Stage *stage = &segment->stages[k];
    int64_t each = sums_of(segment, stage);
    for (int64_t block = begin; block < end; block++) {
        int64_t from = block * segment->block, to = from + segment->block;
        if (to > segment->numel) to = segment->numel;
        double *sums = segment->partial + block * each;
        for (int64_t i = stage->sums; i < each; i++) sums[i] = 0; /* columns are added to */
        stage->sweep(segment->arrays, segment->own, from, to, sums);
    }
}

/* Do what a stage has to do in the blocks that begin in the lines [begin, end) of a segment. */
static void run_stage(Segment *segment, int64_t stage, int64_t begin, int64_t end) {
    int64_t first = blocks_before(segment, begin), last = blocks_before(segment, end);
    if (!is_small(segment)) {
        if (stage + 1 < segment->n_stages) sweep(segment, stage, first, last);
    } else if (!stage && begin <= 0) {
        int64_t all = blocks_before(segment, lines_of(segment));
        for (int64_t k = 0; k < segment->n_stages; k++) {
            begin_stage(segment, k);
            if (k + 1 < segment->n_stages) sweep(segment, k, 0, all);
        }
    }
}

/* Visit the segments in the lines [begin, end): update them, or sum the squares of gradients. */
static double walk(Table *table, int64_t begin, int64_t end, bool measure) {
    int64_t low = 0, high = table->n_segments; /* the last segment that starts at or before begin */
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (table->segments[middle].first_line <= begin) low = middle;
        else high = middle;
    }
    double total = 0;
    for (int64_t i = low; i < table->n_segments; i++) {
        Segment *segment = &table->segments[i];
        if (segment->first_line >= end) break;
        if (!*segment->present) continue;
        int64_t first = begin - segment->first_line, last = end - segment->first_line;
        int64_t from = first * LINE, to = last * LINE;
        if (from < 0) from = 0;
        if (to > segment->numel) to = segment->numel;
        if (from >= to) continue;
        if (measure) total += segment->square(segment->arrays, from, to);
        else if (segment->n_stages) run_stage(segment, table->stage, first, last);
        else if (!table->stage) segment->update(segment->arrays, segment->row, from, to, 0);
    }
    return total;
}

static void update_lines(int64_t begin, int64_t end, void *table) { walk(table, begin, end, false); }

/* A block is BLOCK lines, whoever computes it, so that no sum depends on the number of threads. */
static void measure_blocks(int64_t begin, int64_t end, void *context) {
    Table *table = context;
    for (int64_t block = begin; block < end; block++)
        table->sums[block] = walk(table, block * BLOCK, (block + 1) * BLOCK, true);
}

static int64_t blocks(int64_t lines) { return (lines + BLOCK - 1) / BLOCK; }

/* Sum the squares of the gradients gathered, by blocks. Returns torch's error code. */
int32_t measure(Table *table) {
    return table->torch->parallel_for(0, blocks(table->lines), blocks(table->grain), measure_blocks, table);
}

/* Make a stage of all large segments ready; whether another comes after it. */
static bool begin_all(Table *table) {
    bool more = false;
    for (int64_t i = 0; i < table->n_segments; i++) {
        Segment *segment = &table->segments[i];
        if (table->stage >= segment->n_stages || is_small(segment) || !*segment->present) continue;
        begin_stage(segment, table->stage);
        if (table->stage + 1 < segment->n_stages) more = true;
    }
    return more;
}

/* Tell autograd what is written of every segment gathered. */
static void tell(Table *table) {
    const Torch *torch = table->torch;
    for (int64_t i = 0; torch->bump_version && i < table->n_segments; i++) {
        Segment *segment = &table->segments[i];
        if (!*segment->present) continue;
        torch->bump_version(segment->looks);
        for (int64_t k = 0; k < segment->states; k++)
            torch->bump_version(segment->looks + 1 + segment->copied + k);
    }
}

/* Count the update of every segment gathered. */
static void count(Table *table) {
    for (int64_t i = 0; i < table->n_segments; i++) {
        Segment *segment = &table->segments[i];
        if (!*segment->present) continue;
        Look *look = segment->looks + 1 + segment->copied + segment->states;
        for (int64_t k = 0; k < segment->kept; k++, look++) {
            double value = k ? segment->next[k - 1] : segment->values[0] + 1;
            if (!look->impl || is_double(look)) segment->values[k] = value;
            else segment->values[k] = *(float *)look->address = (float)value;
            if (look->impl && is_double(look)) *(double *)look->address = value;
        }
    }
}

/* Update every segment gathered and count the update, all in one call: whatever interrupts the
   interpreter, it does so before or after. Returns torch's error code. */
int32_t run(Table *table) {
    tell(table);
    bool more = true;
    for (table->stage = 0; more; table->stage++) {
        more = begin_all(table);
        if (table->stage && !more) break;
        int32_t code = table->torch->parallel_for(0, table->lines, table->grain, update_lines, table);
        if (code) return code;
    }
    count(table);
    return 0;
}

/* What is left to be done where somebody else has updated every segment gathered. */
void updated(Table *table) {
    tell(table);
    count(table);
}

/* What stands in for parallel_for where torch's threads are gone: this thread does it all. */
int32_t alone(int64_t begin, int64_t end, int64_t grain, Work *work, void *context) {
    (void)grain;
    work(begin, end, context);
    return 0;
}

typedef struct {
    int32_t (*next)(void *dict, int64_t *place, void **key, void **value); /* PyDict_Next */
    void *(*get)(void *dict, void *key);                                   /* PyDict_GetItem */
    int64_t (*size)(void *list);                                           /* PyList_Size */
    void *(*item)(void *list, int64_t place);                              /* PyList_GetItem */
    void (*clear)(void);                                                   /* PyErr_Clear */
} Python;

typedef struct { /* the objects that a step relies on, by address */
    const Python *python;
    void *key;        /* the string "params" */
    int64_t n_groups;
    void **params;    /* of each group its parameters and a null */
    void **states;    /* each parameter, its state dict, keys and values that matter, a null; a null
                         at the end */
} Watch;

/* Whether groups and states hold the objects they held: 1 or 0. */
int64_t holds(const Watch *watch, void *groups, void *states) {
    const Python *python = watch->python;
    void **want = watch->params, *key, *inner, *value;
    if (python->size(groups) != watch->n_groups) {
        python->clear();
        return 0;
    }
    for (int64_t i = 0; i < watch->n_groups; i++, want++) {
        void *list = python->get(python->item(groups, i), watch->key);
        int64_t n = list ? python->size(list) : -1;
        if (n < 0) {
            python->clear();
            return 0;
        }
        for (int64_t j = 0; j < n; j++, want++)
            if (python->item(list, j) != *want) return 0;
        if (*want) return 0;
    }
    want = watch->states;
    for (int64_t i = 0; *want && python->next(states, &i, &key, &inner);) {
        if (key != *want) continue; /* a parameter that nobody relies on */
        if (inner != want[1]) return 0;
        want += 2;
        for (int64_t j = 0; *want && python->next(inner, &j, &key, &value);) {
            if (key != *want) continue;
            if (value != want[1]) return 0;
            want += 2;
        }
        if (*want) return 0;
        want++;
    }
    return *want == 0;
}
