#include "engine/gguf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "base/utf8.h"
#include "kernels/tensor.h"

#define MAX_KEY_BYTES 65535
#define MAX_TENSOR_NAME_BYTES 64
#define MAX_ARRAY_DEPTH 4
#define DEFAULT_ALIGNMENT 32
/* Smaller alignments would leave float tensors misaligned; larger ones are no file we know of. */
#define MIN_ALIGNMENT 8
#define MAX_ALIGNMENT (1 << 20)
/* The least bytes that a pair (length, type, one byte) and a tensor entry (length, count, one dimension,
 * type, offset) take: a count beyond what fits in the file is a lie, found before anything is allocated for
 * it. */
#define MIN_PAIR_BYTES 13
#define MIN_TENSOR_BYTES 24

/* Open addressing over item numbers; 0 = free, else number + 1. */
typedef struct NameTable {
    uint32_t *slots;
    size_t mask;
} NameTable;

struct Gguf {
    Arena arena;
    MappedFile file;
    Str bytes, name, data;
    uint32_t version;
    size_t alignment;
    GgufPair *pairs;
    size_t pair_count;
    GgufTensor *tensors;
    size_t tensor_count;
    NameTable pair_names, tensor_names;
};

/* ---- reading with a cursor: every take checks what is left ---- */

typedef struct Cursor {
    const uint8_t *at, *end;
} Cursor;

static size_t bytes_left(const Cursor *cursor) {
    return (size_t)(cursor->end - cursor->at);
}

static bool take(Cursor *cursor, void *out, size_t n) {
    if (bytes_left(cursor) < n)
        return false;
    memcpy(out, cursor->at, n);
    cursor->at += n;
    return true;
}

static bool take_string(Cursor *cursor, Str *out) {
    uint64_t length;
    if (!take(cursor, &length, sizeof length) || length > bytes_left(cursor))
        return false;
    *out = (Str){(const char *)cursor->at, (size_t)length};
    cursor->at += length;
    return true;
}

static size_t scalar_bytes(uint32_t type) {
    static const uint8_t SIZES[GGUF_TYPE_COUNT] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type < GGUF_TYPE_COUNT ? SIZES[type] : 0;
}

static bool cut_short(const Gguf *gguf, Err *err, const char *where, Str what) {
    return err_set(err, ERR_INVALID,
                   "%.*s is no usable GGUF file: it ends inside %s%s%.*s%s; the file is truncated or damaged",
                   STR_ARG(gguf->name), where, what.len ? " \"" : "", (int)(what.len < 100 ? what.len : 100),
                   what.ptr, what.len ? "\"" : "");
}

static bool damaged(const Gguf *gguf, Err *err, const char *what, Str where) {
    return err_set(err, ERR_INVALID, "%.*s is no usable GGUF file: \"%.*s\" %s", STR_ARG(gguf->name),
                   (int)(where.len < 100 ? where.len : 100), where.ptr, what);
}

/* ---- metadata ---- */

static bool skip_elements(Gguf *gguf, Cursor *cursor, uint32_t type, uint64_t count, int depth, Str key,
                          Err *err);

static bool skip_array(Gguf *gguf, Cursor *cursor, int depth, Str key, Err *err) {
    uint32_t type;
    uint64_t count;
    if (!take(cursor, &type, sizeof type) || !take(cursor, &count, sizeof count))
        return cut_short(gguf, err, "the value of", key);
    return skip_elements(gguf, cursor, type, count, depth + 1, key, err);
}

static bool skip_elements(Gguf *gguf, Cursor *cursor, uint32_t type, uint64_t count, int depth, Str key,
                          Err *err) {
    if (type >= GGUF_TYPE_COUNT)
        return damaged(gguf, err, "has a value of a type that does not exist", key);
    if (depth > MAX_ARRAY_DEPTH)
        return damaged(gguf, err, "holds arrays nested too deeply", key);
    size_t size = scalar_bytes(type);
    if (size) {
        if (count > bytes_left(cursor) / size)
            return cut_short(gguf, err, "the value of", key);
        if (type == GGUF_BOOL)
            for (uint64_t i = 0; i < count; i++)
                if (cursor->at[i] > 1)
                    return damaged(gguf, err, "holds a truth value that is neither 0 nor 1", key);
        cursor->at += count * size;
        return true;
    }
    for (uint64_t i = 0; i < count; i++) {
        Str text;
        if (type == GGUF_ARRAY ? !skip_array(gguf, cursor, depth, key, err) : !take_string(cursor, &text))
            return type == GGUF_ARRAY ? false : cut_short(gguf, err, "the value of", key);
    }
    return true;
}

static bool read_pair(Gguf *gguf, Cursor *cursor, GgufPair *pair, Err *err) {
    uint32_t type, element_type = 0;
    uint64_t count = 1;
    if (!take_string(cursor, &pair->key))
        return cut_short(gguf, err, "a metadata key", S(""));
    if (pair->key.len > MAX_KEY_BYTES || !utf8_valid(pair->key))
        return damaged(gguf, err, "is no valid metadata key", S("(a key)"));
    if (!take(cursor, &type, sizeof type))
        return cut_short(gguf, err, "the type of", pair->key);
    int depth = 0;
    if (type == GGUF_ARRAY) {
        if (!take(cursor, &element_type, sizeof element_type) || !take(cursor, &count, sizeof count))
            return cut_short(gguf, err, "the value of", pair->key);
        depth = 1;
    }
    const uint8_t *first = cursor->at;
    if (!skip_elements(gguf, cursor, type == GGUF_ARRAY ? element_type : type, count, depth, pair->key, err))
        return false;
    pair->value = (GgufValue){.type = (GgufType)type,
                              .element_type = (GgufType)(type == GGUF_ARRAY ? element_type : type),
                              .count = (size_t)count,
                              .bytes = first,
                              .size = (size_t)(cursor->at - first)};
    return true;
}

/* ---- tables of names ---- */

static void table_init(NameTable *table, Arena *arena, size_t count) {
    size_t slots = 16;
    while (slots < count * 2)
        slots *= 2;
    table->slots = ARENA_ARRAY(arena, uint32_t, slots);
    table->mask = slots - 1;
}

typedef Str (*NameOf)(const Gguf *, size_t index);

static Str pair_name(const Gguf *gguf, size_t index) {
    return gguf->pairs[index].key;
}

static Str tensor_name(const Gguf *gguf, size_t index) {
    return gguf->tensors[index].name;
}

/* The slot that holds name, or the free one where it belongs. */
static uint32_t *table_slot(const Gguf *gguf, const NameTable *table, NameOf name_of, Str name) {
    size_t at = (size_t)str_hash(name) & table->mask;
    while (table->slots[at] && !str_eq(name_of(gguf, table->slots[at] - 1), name))
        at = (at + 1) & table->mask;
    return &table->slots[at];
}

static bool table_add(Gguf *gguf, NameTable *table, NameOf name_of, size_t index, Err *err) {
    uint32_t *slot = table_slot(gguf, table, name_of, name_of(gguf, index));
    if (*slot)
        return damaged(gguf, err, "occurs twice", name_of(gguf, index));
    *slot = (uint32_t)index + 1;
    return true;
}

/* ---- tensors ---- */

static bool tensor_size(Gguf *gguf, GgufTensor *tensor, Err *err) {
    int64_t values = 1;
    for (uint32_t i = 0; i < tensor->dimension_count; i++) {
        if (tensor->dimensions[i] <= 0)
            return damaged(gguf, err, "has an empty or negative dimension", tensor->name);
        if (__builtin_mul_overflow(values, tensor->dimensions[i], &values))
            return damaged(gguf, err, "has dimensions whose product overflows", tensor->name);
    }
    const DTypeInfo *info = dtype_info(tensor->type);
    if (!info)
        return true;
    if (tensor->dimensions[0] % info->block_values)
        return damaged(gguf, err, "has rows that are no multiple of its type's block", tensor->name);
    if (__builtin_mul_overflow((size_t)(values / info->block_values), (size_t)info->block_bytes,
                               &tensor->bytes))
        return damaged(gguf, err, "has dimensions whose product overflows", tensor->name);
    return true;
}

static bool read_tensor(Gguf *gguf, Cursor *cursor, GgufTensor *tensor, Err *err) {
    if (!take_string(cursor, &tensor->name))
        return cut_short(gguf, err, "the tensor table", S(""));
    if (tensor->name.len > MAX_TENSOR_NAME_BYTES || !utf8_valid(tensor->name))
        return damaged(gguf, err, "is no valid tensor name", S("(a tensor)"));
    if (!take(cursor, &tensor->dimension_count, sizeof(uint32_t)))
        return cut_short(gguf, err, "the entry of tensor", tensor->name);
    if (tensor->dimension_count == 0 || tensor->dimension_count > GGUF_MAX_DIMENSIONS)
        return damaged(gguf, err, "has no dimensions or more than 4", tensor->name);
    for (uint32_t i = 0; i < GGUF_MAX_DIMENSIONS; i++)
        tensor->dimensions[i] = 1;
    uint64_t offset;
    if (!take(cursor, tensor->dimensions, tensor->dimension_count * sizeof(uint64_t)) ||
        !take(cursor, &tensor->type, sizeof tensor->type) || !take(cursor, &offset, sizeof offset))
        return cut_short(gguf, err, "the entry of tensor", tensor->name);
    if (offset % gguf->alignment)
        return damaged(gguf, err, "starts at an offset that is not aligned", tensor->name);
    tensor->offset = (size_t)offset;
    return tensor_size(gguf, tensor, err);
}

/* Offsets can be judged only when the data section's place is known. */
static bool check_extents(Gguf *gguf, Err *err) {
    for (size_t i = 0; i < gguf->tensor_count; i++) {
        const GgufTensor *tensor = &gguf->tensors[i];
        if (tensor->offset > gguf->data.len || tensor->bytes > gguf->data.len - tensor->offset)
            return damaged(gguf, err, "reaches beyond the end of the file; it is truncated or damaged",
                           tensor->name);
    }
    return true;
}

/* ---- opening ---- */

static bool read_header(Gguf *gguf, Cursor *cursor, uint64_t *tensors, uint64_t *pairs, Err *err) {
    char magic[4];
    if (!take(cursor, magic, 4) || memcmp(magic, "GGUF", 4) != 0)
        return err_set(err, ERR_INVALID, "%.*s is not a GGUF model file (it does not start with \"GGUF\")",
                       STR_ARG(gguf->name));
    if (!take(cursor, &gguf->version, 4))
        return cut_short(gguf, err, "its header", S(""));
    if (gguf->version == 0x02000000 || gguf->version == 0x03000000)
        return err_set(err, ERR_UNSUPPORTED,
                       "%.*s is a big-endian GGUF file; only little-endian ones can be read",
                       STR_ARG(gguf->name));
    if (gguf->version != 2 && gguf->version != 3)
        return err_set(err, ERR_UNSUPPORTED, "%.*s has GGUF version %u; versions 2 and 3 can be read",
                       STR_ARG(gguf->name), gguf->version);
    if (!take(cursor, tensors, 8) || !take(cursor, pairs, 8))
        return cut_short(gguf, err, "its header", S(""));
    size_t left = bytes_left(cursor);
    if (*pairs > left / MIN_PAIR_BYTES || *tensors > left / MIN_TENSOR_BYTES || *pairs >= UINT32_MAX ||
        *tensors >= UINT32_MAX)
        return err_set(
            err, ERR_INVALID,
            "%.*s is no usable GGUF file: its header promises more entries than the file can hold; it is "
            "truncated or damaged",
            STR_ARG(gguf->name));
    return true;
}

static bool read_pairs(Gguf *gguf, Cursor *cursor, size_t count, Err *err) {
    gguf->pairs = ARENA_ARRAY(&gguf->arena, GgufPair, count + 1);
    table_init(&gguf->pair_names, &gguf->arena, count);
    for (size_t i = 0; i < count; i++, gguf->pair_count++)
        if (!read_pair(gguf, cursor, &gguf->pairs[i], err) ||
            !table_add(gguf, &gguf->pair_names, pair_name, i, err))
            return false;
    int64_t alignment = gguf_int(gguf, S("general.alignment"), DEFAULT_ALIGNMENT);
    if (alignment < MIN_ALIGNMENT || alignment > MAX_ALIGNMENT || (alignment & (alignment - 1)))
        return err_set(err, ERR_INVALID,
                       "%.*s asks for an alignment of %lld bytes; powers of two from %d to %d are possible",
                       STR_ARG(gguf->name), (long long)alignment, MIN_ALIGNMENT, MAX_ALIGNMENT);
    gguf->alignment = (size_t)alignment;
    return true;
}

static bool read_tensors(Gguf *gguf, Cursor *cursor, size_t count, Err *err) {
    gguf->tensors = ARENA_ARRAY(&gguf->arena, GgufTensor, count + 1);
    table_init(&gguf->tensor_names, &gguf->arena, count);
    for (size_t i = 0; i < count; i++, gguf->tensor_count++)
        if (!read_tensor(gguf, cursor, &gguf->tensors[i], err) ||
            !table_add(gguf, &gguf->tensor_names, tensor_name, i, err))
            return false;
    size_t at = (size_t)(cursor->at - (const uint8_t *)gguf->bytes.ptr);
    size_t start = (at + gguf->alignment - 1) / gguf->alignment * gguf->alignment;
    gguf->data = str_from(gguf->bytes, start);
    return check_extents(gguf, err);
}

static bool parse(Gguf *gguf, Err *err) {
    Cursor cursor = {(const uint8_t *)gguf->bytes.ptr, (const uint8_t *)gguf->bytes.ptr + gguf->bytes.len};
    uint64_t tensors = 0, pairs = 0;
    return read_header(gguf, &cursor, &tensors, &pairs, err) &&
           read_pairs(gguf, &cursor, (size_t)pairs, err) && read_tensors(gguf, &cursor, (size_t)tensors, err);
}

static Gguf *open_over(Gguf *gguf, const char *name, Err *err) {
    gguf->name = str_copy(&gguf->arena, str_of(name));
    if (parse(gguf, err))
        return gguf;
    gguf_close(gguf);
    return NULL;
}

static Gguf *allocate(Err *err) {
    Gguf *gguf = calloc(1, sizeof *gguf);
    if (!gguf)
        err_set(err, ERR_NO_MEMORY, "out of memory while opening a model file");
    return gguf;
}

Gguf *gguf_open(const char *path, Err *err) {
    Gguf *gguf = allocate(err);
    if (!gguf)
        return NULL;
    if (!os_map(path, &gguf->file, err)) {
        gguf_close(gguf);
        return NULL;
    }
    gguf->bytes = gguf->file.bytes;
    return open_over(gguf, path, err);
}

Gguf *gguf_open_bytes(Str bytes, const char *name, Err *err) {
    Gguf *gguf = allocate(err);
    if (!gguf)
        return NULL;
    gguf->bytes = bytes;
    return open_over(gguf, name, err);
}

void gguf_close(Gguf *gguf) {
    if (!gguf)
        return;
    os_unmap(&gguf->file);
    arena_free(&gguf->arena);
    free(gguf);
}

uint32_t gguf_version(const Gguf *gguf) {
    return gguf->version;
}

Str gguf_name(const Gguf *gguf) {
    return gguf->name;
}

Str gguf_bytes(const Gguf *gguf) {
    return gguf->bytes;
}

Str gguf_data(const Gguf *gguf) {
    return gguf->data;
}

/* ---- metadata getters ---- */

size_t gguf_pair_count(const Gguf *gguf) {
    return gguf->pair_count;
}

const GgufPair *gguf_pair(const Gguf *gguf, size_t index) {
    return index < gguf->pair_count ? &gguf->pairs[index] : NULL;
}

const GgufValue *gguf_find(const Gguf *gguf, Str key) {
    uint32_t slot = *table_slot(gguf, &gguf->pair_names, pair_name, key);
    return slot ? &gguf->pairs[slot - 1].value : NULL;
}

typedef struct Number {
    bool is_number, is_integer;
    int64_t integer;
    double real;
} Number;

static Number number_of_integer(int64_t value) {
    return (Number){true, true, value, (double)value};
}

static Number number_of_real(double value) {
    bool is_integer = value >= -9.0e18 && value <= 9.0e18 && value == floor(value);
    return (Number){true, is_integer, is_integer ? (int64_t)value : 0, value};
}

#define READ_AS(type, address)                                                                               \
    (__extension__({                                                                                         \
        type read_value_;                                                                                    \
        memcpy(&read_value_, (address), sizeof read_value_);                                                 \
        read_value_;                                                                                         \
    }))

static Number number_at(const GgufValue *value, size_t index) {
    if (index >= value->count)
        return (Number){0};
    const uint8_t *at = value->bytes + index * scalar_bytes(value->element_type);
    switch (value->element_type) {
    case GGUF_U8:
    case GGUF_BOOL: return number_of_integer(*at);
    case GGUF_I8: return number_of_integer(READ_AS(int8_t, at));
    case GGUF_U16: return number_of_integer(READ_AS(uint16_t, at));
    case GGUF_I16: return number_of_integer(READ_AS(int16_t, at));
    case GGUF_U32: return number_of_integer(READ_AS(uint32_t, at));
    case GGUF_I32: return number_of_integer(READ_AS(int32_t, at));
    case GGUF_I64: return number_of_integer(READ_AS(int64_t, at));
    case GGUF_U64: {
        uint64_t wide = READ_AS(uint64_t, at);
        return wide <= INT64_MAX ? number_of_integer((int64_t)wide) : (Number){true, false, 0, (double)wide};
    }
    case GGUF_F32: return number_of_real(READ_AS(float, at));
    case GGUF_F64: return number_of_real(READ_AS(double, at));
    default: return (Number){0};
    }
}

static Number number_of_key(const Gguf *gguf, Str key) {
    const GgufValue *value = gguf_find(gguf, key);
    return value ? number_at(value, 0) : (Number){0};
}

int64_t gguf_int(const Gguf *gguf, Str key, int64_t otherwise) {
    Number number = number_of_key(gguf, key);
    return number.is_integer ? number.integer : otherwise;
}

double gguf_number(const Gguf *gguf, Str key, double otherwise) {
    Number number = number_of_key(gguf, key);
    return number.is_number ? number.real : otherwise;
}

bool gguf_bool(const Gguf *gguf, Str key, bool otherwise) {
    Number number = number_of_key(gguf, key);
    return number.is_integer ? number.integer != 0 : otherwise;
}

Str gguf_string(const Gguf *gguf, Str key, Str otherwise) {
    const GgufValue *value = gguf_find(gguf, key);
    if (!value || value->type != GGUF_STRING)
        return otherwise;
    return (Str){(const char *)value->bytes + 8, value->size - 8};
}

static const GgufValue *find_array(const Gguf *gguf, Str key, size_t *count) {
    const GgufValue *value = gguf_find(gguf, key);
    bool is_array = value && value->type == GGUF_ARRAY && value->count;
    *count = is_array ? value->count : 0;
    return is_array ? value : NULL;
}

const Str *gguf_strings(const Gguf *gguf, Str key, Arena *arena, size_t *count) {
    const GgufValue *value = find_array(gguf, key, count);
    if (!value || value->element_type != GGUF_STRING) {
        *count = 0;
        return NULL;
    }
    Str *out = ARENA_ARRAY(arena, Str, value->count);
    Cursor cursor = {value->bytes, value->bytes + value->size};
    for (size_t i = 0; i < value->count; i++)
        take_string(&cursor, &out[i]);
    return out;
}

static bool is_number_array(const GgufValue *value) {
    return value && scalar_bytes(value->element_type);
}

const int32_t *gguf_int32s(const Gguf *gguf, Str key, Arena *arena, size_t *count) {
    const GgufValue *value = find_array(gguf, key, count);
    if (!is_number_array(value)) {
        *count = 0;
        return NULL;
    }
    int32_t *out = ARENA_ARRAY(arena, int32_t, value->count);
    for (size_t i = 0; i < value->count; i++) {
        int64_t wide = number_at(value, i).integer;
        out[i] = (int32_t)(wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : wide);
    }
    return out;
}

const float *gguf_floats(const Gguf *gguf, Str key, Arena *arena, size_t *count) {
    const GgufValue *value = find_array(gguf, key, count);
    if (!is_number_array(value)) {
        *count = 0;
        return NULL;
    }
    float *out = ARENA_ARRAY(arena, float, value->count);
    for (size_t i = 0; i < value->count; i++)
        out[i] = (float)number_at(value, i).real;
    return out;
}

/* ---- tensors ---- */

size_t gguf_tensor_count(const Gguf *gguf) {
    return gguf->tensor_count;
}

const GgufTensor *gguf_tensor(const Gguf *gguf, size_t index) {
    return index < gguf->tensor_count ? &gguf->tensors[index] : NULL;
}

const GgufTensor *gguf_find_tensor(const Gguf *gguf, Str name) {
    uint32_t slot = *table_slot(gguf, &gguf->tensor_names, tensor_name, name);
    return slot ? &gguf->tensors[slot - 1] : NULL;
}
