#include "engine/tokenizer_file.h"

static int32_t special_id(const Gguf *file, Str key, size_t count) {
    int64_t id = gguf_int(file, key, -1);
    return id >= 0 && (uint64_t)id < count ? (int32_t)id : -1;
}

static bool read_source(const Gguf *file, Arena *arena, TokenizerSource *out, Err *err) {
    size_t types, scores;
    out->model = gguf_string(file, S("tokenizer.ggml.model"), S(""));
    out->pre = gguf_string(file, S("tokenizer.ggml.pre"), S(""));
    out->name = gguf_string(file, S("general.name"), S(""));
    out->tokens = gguf_strings(file, S("tokenizer.ggml.tokens"), arena, &out->token_count);
    out->types = gguf_int32s(file, S("tokenizer.ggml.token_type"), arena, &types);
    out->scores = gguf_floats(file, S("tokenizer.ggml.scores"), arena, &scores);
    out->merges = gguf_strings(file, S("tokenizer.ggml.merges"), arena, &out->merge_count);
    if (!out->tokens)
        return err_set(err, ERR_INVALID, "%.*s holds no vocabulary", STR_ARG(gguf_name(file)));
    if ((out->types && types != out->token_count) || (out->scores && scores != out->token_count))
        return err_set(err, ERR_INVALID,
                       "%.*s holds token types or scores for another number of tokens than it lists",
                       STR_ARG(gguf_name(file)));
    return true;
}

static void read_specials(const Gguf *file, TokenizerSource *out) {
    size_t count = out->token_count;
    out->bos = special_id(file, S("tokenizer.ggml.bos_token_id"), count);
    out->eos = special_id(file, S("tokenizer.ggml.eos_token_id"), count);
    out->eot = special_id(file, S("tokenizer.ggml.eot_token_id"), count);
    out->eom = special_id(file, S("tokenizer.ggml.eom_token_id"), count);
    out->unknown = special_id(file, S("tokenizer.ggml.unknown_token_id"), count);
    out->pad = special_id(file, S("tokenizer.ggml.padding_token_id"), count);
    out->has_add_bos = gguf_find(file, S("tokenizer.ggml.add_bos_token")) != NULL;
    out->add_bos = gguf_bool(file, S("tokenizer.ggml.add_bos_token"), false);
    out->add_eos = gguf_bool(file, S("tokenizer.ggml.add_eos_token"), false);
    out->has_add_space_prefix = gguf_find(file, S("tokenizer.ggml.add_space_prefix")) != NULL;
    out->add_space_prefix = gguf_bool(file, S("tokenizer.ggml.add_space_prefix"), false);
}

Tokenizer *tokenizer_of_file(const Gguf *file, Err *err) {
    Arena scratch = {0};
    TokenizerSource source = {0};
    Tokenizer *tokenizer = NULL;
    if (read_source(file, &scratch, &source, err)) {
        read_specials(file, &source);
        tokenizer = tokenizer_open(&source, err);
        if (!tokenizer)
            err_wrap(err, "%.*s", STR_ARG(gguf_name(file)));
    }
    arena_free(&scratch);
    return tokenizer;
}
