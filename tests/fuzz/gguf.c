/* Any bytes as a GGUF file: opening, every getter, the facts of a chat, the shape, the binding of weights and
 * the tokenizer stay inside the file, and what opens once opens again with the same contents. */
#include <stdlib.h>
#include <string.h>

#include "engine/arch.h"
#include "engine/chat_format.h"
#include "engine/decoder.h"
#include "engine/tokenizer_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern volatile uint8_t read_sum;

static void require(bool condition) {
    if (!condition)
        abort();
}

static bool is_inside(Str file, const void *at, size_t n) {
    const char *p = at;
    return n == 0 || (p >= file.ptr && n <= file.len && p <= file.ptr + file.len - n);
}

static void read_pairs(const Gguf *g) {
    for (size_t i = 0; i < gguf_pair_count(g); i++) {
        const GgufPair *pair = gguf_pair(g, i);
        Arena arena = {0};
        size_t count;
        require(gguf_find(g, pair->key) == &pair->value);
        require(is_inside(gguf_bytes(g), pair->value.bytes, pair->value.size));
        const Str *texts = gguf_strings(g, pair->key, &arena, &count);
        for (size_t k = 0; k < count; k++)
            require(is_inside(gguf_bytes(g), texts[k].ptr, texts[k].len));
        gguf_floats(g, pair->key, &arena, &count);
        gguf_int32s(g, pair->key, &arena, &count);
        Str text = gguf_string(g, pair->key, S(""));
        require(is_inside(gguf_bytes(g), text.ptr, text.len));
        arena_free(&arena);
    }
}

/* Written so that no compiler drops the reads. */
volatile uint8_t read_sum;

static void read_tensors(const Gguf *g) {
    uint8_t sum = 0;
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const GgufTensor *tensor = gguf_tensor(g, i);
        require(gguf_find_tensor(g, tensor->name) == tensor);
        require(is_inside(gguf_data(g), gguf_data(g).ptr + tensor->offset, tensor->bytes));
        for (size_t k = 0; k < tensor->bytes; k += 97)
            sum ^= (uint8_t)gguf_data(g).ptr[tensor->offset + k];
    }
    read_sum = sum;
}

/* Larger shapes are legal but only measure the allocator. */
static bool is_small(const Shape *shape) {
    return shape->layers <= 8 && shape->width <= 512 && shape->feed_forward <= 512 && shape->heads <= 8 &&
           shape->kv_heads <= 8 && shape->head_width <= 128;
}

static void bind_weights(const Gguf *g) {
    static Backend *backend;
    Shape shape;
    Weights weights;
    Decoder decoder;
    KernelError failure;
    if (!backend)
        backend = backend_open(&(BackendConfig){.name = "ref"}, &failure);
    const Arch *arch = arch_of(g, NULL);
    if (!arch || !arch->read_shape(g, &shape, NULL) || !is_small(&shape))
        return;
    weights_open(&weights, g, backend);
    if (decoder_open(&decoder, arch, &shape, &weights, NULL))
        decoder_close(&decoder);
    weights_close(&weights);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Err err = {0};
    /* mapped files begin on a page; tensors are read as floats */
    char *bytes = aligned_alloc(64, (size + 64) / 64 * 64);
    memcpy(bytes, data, size);
    Gguf *g = gguf_open_bytes((Str){bytes, size}, "fuzz", &err);
    require(g ? err.code == ERR_NONE : err.code != ERR_NONE && err.text[0] != 0);
    if (g) {
        read_pairs(g);
        read_tensors(g);
        chat_facts(g);
        bind_weights(g);
        tokenizer_close(tokenizer_of_file(g, NULL));
    }
    gguf_close(g);
    free(bytes);
    return 0;
}
