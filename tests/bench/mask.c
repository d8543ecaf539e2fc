/* bench-mask VOCABULARY.gguf FILE [TOKENS]: what forced edits cost per token.
 *
 * Two models without weights write edits of FILE: `random` takes any allowed token, `follower` copies a
 * stretch of the file as SEARCH, changes it and goes on. Times of mask_next alone, in microseconds;
 * mask_forced, mask_accept and opening apart.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "engine/grammar.h"
#include "engine/tokenizer_file.h"

typedef struct Times {
    double *items;
    size_t count, capacity;
    double forced_ms, accept_ms;
    size_t forced, blocks;
} Times;

static uint64_t random_state = 1;

static uint32_t random_below(uint32_t n) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % n);
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *name, Times *t) {
    double sum = 0;
    for (size_t i = 0; i < t->count; i++)
        sum += t->items[i];
    qsort(t->items, t->count, sizeof *t->items, compare_doubles);
    double n = (double)t->count;
    printf("%-22s %6zu tokens  mean %7.1f  median %6.1f  p99 %7.1f  most %7.1f us  forced %2.0f %% (%.1f us) "
           " accept %.1f us\n",
           name, t->count, sum * 1000 / n, t->items[t->count / 2] * 1000,
           t->items[t->count * 99 / 100] * 1000, t->items[t->count - 1] * 1000, 100.0 * (double)t->forced / n,
           t->forced_ms * 1000 / n, t->accept_ms * 1000 / n);
    free(t->items);
}

static bool next(Mask *mask, uint64_t *bits, Times *t, int32_t *forced) {
    double start = os_monotonic_ms();
    bool masked = mask_next(mask, bits);
    double middle = os_monotonic_ms();
    *forced = -1;
    if (mask_forced(mask, forced))
        t->forced++;
    t->forced_ms += os_monotonic_ms() - middle;
    if (t->count == t->capacity) {
        t->capacity = t->capacity ? t->capacity * 2 : 4096;
        t->items = realloc(t->items, t->capacity * sizeof *t->items);
        if (!t->items)
            exit(1);
    }
    t->items[t->count++] = middle - start;
    return masked;
}

static void accept_token(Mask *mask, int32_t token, Times *t) {
    double start = os_monotonic_ms();
    mask_accept(mask, token);
    t->accept_ms += os_monotonic_ms() - start;
}

static bool is_allowed(const uint64_t *bits, int32_t token) {
    return bits[token >> 6] >> (token & 63) & 1;
}

static int32_t any_allowed(const Tokenizer *tokenizer, const uint64_t *bits) {
    size_t count = tokenizer_count(tokenizer);
    for (int tries = 0; tries < 200; tries++) {
        int32_t token = (int32_t)random_below((uint32_t)count);
        if (is_allowed(bits, token))
            return token;
    }
    size_t start = random_below((uint32_t)count);
    for (size_t i = 0; i < count; i++)
        if (is_allowed(bits, (int32_t)((start + i) % count)))
            return (int32_t)((start + i) % count);
    return -1;
}

static Mask *open_mask(const Vocabulary *v, const GrammarFile *file, bool edits_only, bool new_files) {
    Err err = {0};
    GrammarSpec spec = {.form = FORM_BLOCKS,
                        .files = file,
                        .file_count = 1,
                        .edits_only = edits_only,
                        .allow_new_files = new_files,
                        .max_replace_bytes = 600};
    Mask *mask = mask_open(v, &spec, &err);
    if (!mask) {
        fprintf(stderr, "bench-mask: %s\n", err.text);
        exit(1);
    }
    return mask;
}

static void write_randomly(const char *name, const Vocabulary *v, const Tokenizer *tokenizer,
                           const GrammarFile *file, size_t tokens, uint64_t *bits, bool edits_only,
                           bool new_files) {
    Times t = {0};
    while (t.count < tokens) {
        Mask *mask = open_mask(v, file, edits_only, new_files);
        for (size_t i = 0; i < 2000 && t.count < tokens; i++) {
            int32_t token;
            next(mask, bits, &t, &token);
            if (token < 0)
                token = any_allowed(tokenizer, bits);
            if (tokenizer_is_end(tokenizer, token))
                break;
            accept_token(mask, token, &t);
        }
        mask_close(mask);
    }
    report(name, &t);
}

/* A reply as a good model writes it: some lines of the file, one of them changed. */
static void make_reply(const GrammarFile *file, Buf *out) {
    size_t begin, end;
    do {
        begin = str_find_char(file->text, '\n', random_below((uint32_t)file->text.len));
    } while (begin == STR_NONE);
    end = ++begin;
    for (uint32_t lines = 3 + random_below(8); lines > 0 && end < file->text.len; lines--) {
        size_t line_end = str_find_char(file->text, '\n', end);
        end = line_end == STR_NONE ? file->text.len : line_end + 1;
    }
    Str text = str_slice(file->text, begin, end);
    buf_printf(out, "%.*s\n<<<<<<< SEARCH\n%.*s=======\n", STR_ARG(file->path), STR_ARG(text));
    size_t middle = str_find_char(text, '\n', text.len / 2);
    middle = middle == STR_NONE ? 0 : middle + 1;
    buf_printf(out, "%.*s    int changed = 1;\n%.*s>>>>>>> REPLACE\n", STR_ARG(str_slice(text, 0, middle)),
               STR_ARG(str_from(text, middle)));
}

static void follow(const Vocabulary *v, const Tokenizer *tokenizer, const GrammarFile *file, size_t tokens,
                   uint64_t *bits) {
    Times t = {0};
    size_t refused = 0, replies = 0;
    while (t.count < tokens && replies < tokens) {
        Buf reply = {0};
        TokenList ids = {0};
        make_reply(file, &reply);
        tokenizer_encode(tokenizer, buf_text(&reply), TOKENIZE_PLAIN, &ids);
        Mask *mask = open_mask(v, file, true, false);
        replies++;
        for (size_t i = 0; i < ids.count; i++) {
            int32_t forced;
            next(mask, bits, &t, &forced);
            if (!is_allowed(bits, ids.ids[i])) {
                refused++; /* the lines chosen occur more than once */
                break;
            }
            accept_token(mask, ids.ids[i], &t);
        }
        mask_close(mask);
        tokens_free(&ids);
        buf_free(&reply);
    }
    report("follower", &t);
    printf("%22s %zu replies, %zu of them stopped where the text repeats\n", "", replies, refused);
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: bench-mask VOCABULARY.gguf FILE [TOKENS]\n");
        return 2;
    }
    Arena arena = {0};
    Err err = {0};
    size_t tokens = argc > 3 ? strtoul(argv[3], NULL, 10) : 20000;
    Gguf *gguf = gguf_open(argv[1], &err);
    Tokenizer *tokenizer = gguf ? tokenizer_of_file(gguf, &err) : NULL;
    GrammarFile file = {.path = S("src/file.c")};
    if (!tokenizer || !os_read_file(argv[2], 8 << 20, &arena, &file.text, &err)) {
        fprintf(stderr, "bench-mask: %s\n", err.text);
        return 1;
    }
    double start = os_monotonic_ms();
    Vocabulary *v = vocabulary_open(tokenizer, &err);
    if (!v) {
        fprintf(stderr, "bench-mask: %s\n", err.text);
        return 1;
    }
    double opened = os_monotonic_ms();
    mask_close(open_mask(v, &file, true, false));
    size_t lines = 0;
    for (size_t i = 0; i < file.text.len; i++)
        lines += file.text.ptr[i] == '\n';
    printf("%zu tokens, %zu lines of %zu bytes; vocabulary %.1f ms, file %.2f ms\n",
           tokenizer_count(tokenizer), lines, file.text.len, opened - start, os_monotonic_ms() - opened);
    uint64_t *bits = ARENA_ARRAY(&arena, uint64_t, (tokenizer_count(tokenizer) + 63) / 64);
    write_randomly("random, edits", v, tokenizer, &file, tokens, bits, true, false);
    write_randomly("random, new files too", v, tokenizer, &file, tokens, bits, true, true);
    write_randomly("random, prose", v, tokenizer, &file, tokens, bits, false, true);
    follow(v, tokenizer, &file, tokens, bits);
    vocabulary_close(v);
    tokenizer_close(tokenizer);
    gguf_close(gguf);
    arena_free(&arena);
    return 0;
}
