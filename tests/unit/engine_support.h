/* Small GGUF models made on the spot from a seed: every architecture, every weight type, a byte-level
 * vocabulary with chat and label tokens. The same recipe gives the same bytes everywhere, so results made
 * once elsewhere can be compared.
 */
#ifndef MUX_TESTS_ENGINE_SUPPORT_H
#define MUX_TESTS_ENGINE_SUPPORT_H

#include "base/buf.h"
#include "engine/engine.h"
#include "kernels/tensor.h"

enum {
    FAKE_BYTE_TOKENS = 256,
    FAKE_END_OF_TEXT = 264, /* <|endoftext|>, after eight merged tokens */
    FAKE_IM_START = 265,
    FAKE_IM_END = 266,
    FAKE_FIRST_LABEL = 267, /* <|1|> */
    FAKE_THINK = 318,       /* <think> and </think> of models that have_thinking */
    FAKE_VOCABULARY = 320,
};

typedef struct FakeModel {
    const char *arch;
    DType type;
    uint64_t seed;
    int context;     /* 0 = 256 */
    bool has_extras; /* llama: biases, rope factors, linear scaling, mixed types, an output matrix of its own
                      */
    bool has_labels; /* <|1|> .. <|40|> rather than unused tokens */
    bool has_thinking; /* tokens and a chat template that asks for enable_thinking */
} FakeModel;

/* GGUF pieces, little-endian. */
void put_u32(Buf *out, uint32_t value);
void put_u64(Buf *out, uint64_t value);
void put_string(Buf *out, Str text);
void put_pair_u32(Buf *out, Str key, uint32_t value);
void put_pair_f32(Buf *out, Str key, float value);
void put_pair_string(Buf *out, Str key, Str value);

void fake_model_bytes(const FakeModel *model, Buf *out);
/* Writes it into test_tmp(); the path lives in the arena. */
Str fake_model_file(Arena *arena, const FakeModel *model);
/* An engine with this file as its default model, on the named backend. */
Engine *fake_engine(Str path, Str backend);
/* Opens a chat or fails the test. */
Chat *fake_chat(Engine *engine, Str model);
/* n random ids of plain text. */
void fake_prompt(int32_t *ids, size_t n);
/* The logits behind these tokens, FAKE_VOCABULARY of them, borrowed as chat_logits says; or fails the test.
 */
const float *fake_logits(Chat *chat, const int32_t *ids, size_t n);

#endif
