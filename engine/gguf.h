/* GGUF: a model file (versions 2 and 3) read in place from a mapping.
 *
 * Calling sequence: Gguf *g = gguf_open(path, &err); gguf_find / getters / gguf_tensor...; gguf_close(g);
 * Everything returned borrows from the Gguf. Opening walks the metadata and the tensor table once and checks
 * every count, length, offset and product against the bytes there are; the getters after it cannot leave the
 * file. Arrays are not decoded before they are asked for. Immutable after opening: any number of threads may
 * read. Format: the GGUF specification in ggml-org/ggml, docs/gguf.md.
 */
#ifndef MUX_ENGINE_GGUF_H
#define MUX_ENGINE_GGUF_H

#include "base/err.h"
#include "base/str.h"

typedef enum GgufType {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPE_COUNT
} GgufType;

typedef struct GgufValue {
    GgufType type;
    GgufType element_type; /* of an array */
    size_t count;          /* elements of an array, 1 otherwise */
    const uint8_t *bytes;  /* first element, little-endian, unaligned */
    size_t size;           /* bytes of all elements */
} GgufValue;

typedef struct GgufPair {
    Str key;
    GgufValue value;
} GgufPair;

#define GGUF_MAX_DIMENSIONS 4

typedef struct GgufTensor {
    Str name;
    uint32_t type; /* ggml type id, perhaps one we have no kernels for */
    uint32_t dimension_count;
    int64_t dimensions[GGUF_MAX_DIMENSIONS]; /* innermost first; 1 beyond dimension_count */
    size_t offset;                           /* from the start of the tensor data */
    size_t bytes;                            /* 0 when the type's layout is not known here */
} GgufTensor;

typedef struct Gguf Gguf;

/* NULL + one sentence naming the file. */
Gguf *gguf_open(const char *path, Err *err);
/* The same over bytes that the caller keeps alive; name is used in sentences. */
Gguf *gguf_open_bytes(Str bytes, const char *name, Err *err);
void gguf_close(Gguf *gguf); /* NULL is fine */

uint32_t gguf_version(const Gguf *gguf);
Str gguf_name(const Gguf *gguf);  /* path as given */
Str gguf_bytes(const Gguf *gguf); /* the whole file */
Str gguf_data(const Gguf *gguf);  /* the tensor data section, aligned as the file says */

size_t gguf_pair_count(const Gguf *gguf);
const GgufPair *gguf_pair(const Gguf *gguf, size_t index);
const GgufValue *gguf_find(const Gguf *gguf, Str key); /* NULL when absent */

/* Widening getters: converters differ in the width they write. Absent or of another kind: the default (use
 * gguf_find to tell). A number read as an integer must be one: 3.5 or 2^70 gives the default. For arrays the
 * first element counts. */
int64_t gguf_int(const Gguf *gguf, Str key, int64_t otherwise);
double gguf_number(const Gguf *gguf, Str key, double otherwise);
bool gguf_bool(const Gguf *gguf, Str key, bool otherwise);
Str gguf_string(const Gguf *gguf, Str key, Str otherwise);

/* The elements of an array, copied into the arena; count 0 and NULL when absent or of another kind. */
const Str *gguf_strings(const Gguf *gguf, Str key, Arena *arena, size_t *count);
const int32_t *gguf_int32s(const Gguf *gguf, Str key, Arena *arena, size_t *count); /* saturating */
const float *gguf_floats(const Gguf *gguf, Str key, Arena *arena, size_t *count);

size_t gguf_tensor_count(const Gguf *gguf);
const GgufTensor *gguf_tensor(const Gguf *gguf, size_t index);
const GgufTensor *gguf_find_tensor(const Gguf *gguf, Str name); /* NULL when absent */

#endif
