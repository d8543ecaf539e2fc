#include "engine/grammar.h"

#include <string.h>

#include "base/json.h"
#include "base/os.h"
#include "engine/grammar_internal.h"
#include "tests/fakes/blocks.h"
#include "tests/runner.h"

static const char *const LINES[] = {
    "a",
    "b",
    "",
    "}",
    "    return 1;",
    "name",
    "ab",
    "=======",
    "======= ",
    "========",
    "====",
    "<<<<<<< SEARCH",
    ">>>>>>> REPLACE",
    "<<<",
    "caf\xC3\xA9",
    "bad\xFF",
    "tail\r",
    "\tx",
    "src/a.c",
    "```",
    "  >>>>>>>",
    "<<<<< SEARCH",
    " =======",
};

static Str random_file(Arena *arena, unsigned kinds) {
    Buf out = {0};
    for (size_t n = test_random() % 24; n > 0; n--) {
        buf_cstr(&out, LINES[test_random() % kinds]);
        buf_char(&out, '\n');
    }
    if (out.len && test_random() % 3 == 0)
        out.len--; /* no final line end */
    Str text = buf_copy(&out, arena);
    buf_free(&out);
    return text;
}

static GrammarSpec random_spec(Arena *arena, GrammarFile *files) {
    static const char *const PATHS[] = {"src/a.c", "src/ab.c", "a.c", "read-me.txt", "a", "src/caf\xC3\xA9"};
    size_t count = 1 + test_random() % 4;
    for (size_t i = 0; i < count; i++)
        files[i] = (GrammarFile){str_of(PATHS[test_random() % 6]),
                                 random_file(arena, test_random() % 2 ? 7 : sizeof LINES / sizeof *LINES)};
    for (size_t i = 1; i < count; i++)
        for (size_t k = 0; k < i; k++)
            if (str_eq(files[i].path, files[k].path)) {
                files[i] = files[count - 1];
                i = 0, k = 0, count--;
                break;
            }
    return (GrammarSpec){.form = FORM_BLOCKS,
                         .files = files,
                         .file_count = count,
                         .allow_new_files = test_random() % 2,
                         .edits_only = test_random() % 2,
                         .max_blocks = 1 + test_random() % 5,
                         .max_replace_bytes = 1 + test_random() % 40,
                         .max_search_bytes = 4 + test_random() % 60};
}

/* How a model without sense chooses: evenly, or longing for markers, or for its own favourites. */
static int32_t choose(const Vocabulary *v, const uint64_t *bits, unsigned taste) {
    int32_t chosen = -1;
    uint64_t best = 0;
    for (size_t i = 0; i < v->count; i++) {
        if (!bit_is_set(bits, (int32_t)i))
            continue;
        uint64_t score = test_random() >> 8;
        if (taste == 1 && i >= 256)
            score <<= 4;
        if (taste == 2 && (i * 2654435761u >> 7) % 16 == 0)
            score <<= 6;
        if (taste == 3 && bit_is_set(v->ends, (int32_t)i))
            score >>= 6;
        if (chosen < 0 || score > best) {
            best = score;
            chosen = (int32_t)i;
        }
    }
    return chosen;
}

static void check_mask(const Vocabulary *v, const BlockMask *mask, const uint64_t *bits, Str so_far) {
    for (size_t i = 0; i < v->count; i++)
        CHECK_MSG(bit_is_set(bits, (int32_t)i) == block_mask_allows(mask, (int32_t)i),
                  "token %zu is %d in the mask, %d byte by byte, after <<%.*s>>", i,
                  bit_is_set(bits, (int32_t)i), block_mask_allows(mask, (int32_t)i), STR_ARG(so_far));
}

typedef struct Totals {
    size_t replies, blocks, escaped, forced, tokens;
} Totals;

static void write_reply(const Vocabulary *v, Arena *arena, bool compare, Totals *totals) {
    GrammarFile files[4];
    Err err = {0};
    GrammarSpec spec = random_spec(arena, files);
    BlockMask *mask = block_mask_open(v, &spec, &err);
    if (!mask) {
        CHECK(spec.edits_only && !spec.allow_new_files);
        return;
    }
    uint64_t *bits = ARENA_ARRAY(arena, uint64_t, v->words);
    Buf reply = {0};
    unsigned taste = (unsigned)(test_random() % 4);
    for (int step = 0;; step++) {
        CHECK_MSG(step < 5000, "the reply does not end: <<%.*s>>", STR_ARG(buf_text(&reply)));
        block_mask_next(mask, bits);
        int32_t token = choose(v, bits, taste);
        CHECK_MSG(token >= 0, "nothing is allowed after <<%.*s>>", STR_ARG(buf_text(&reply)));
        if (compare)
            check_mask(v, mask, bits, buf_text(&reply));
        int32_t forced = block_mask_forced(mask);
        if (forced >= 0) {
            CHECK(bit_is_set(bits, forced));
            token = forced;
            totals->forced++;
        }
        if (bit_is_set(v->ends, token) || (step > 2000 && bit_is_set(bits, v->first_end)))
            break;
        buf_str(&reply, tokenizer_bytes(v->tokenizer, token));
        block_mask_accept(mask, token);
        totals->tokens++;
    }
    size_t blocks, escaped;
    const char *wrong = fake_check_reply(&spec, buf_text(&reply), &blocks, &escaped);
    CHECK_MSG(!wrong, "%s in <<%.*s>>", wrong, STR_ARG(buf_text(&reply)));
    CHECK_INT(block_mask_escaped(mask), escaped);
    CHECK(blocks <= spec.max_blocks);
    totals->replies++;
    totals->blocks += blocks;
    totals->escaped += escaped;
    buf_free(&reply);
    block_mask_close(mask);
}

static Vocabulary *open_fake(Arena *arena, Tokenizer **tokenizer) {
    Err err = {0};
    *tokenizer = fake_tokenizer_open(arena, &err);
    CHECK_OK(*tokenizer != NULL, err);
    Vocabulary *v = vocabulary_open(*tokenizer, &err);
    CHECK_OK(v != NULL, err);
    return v;
}

static void write_replies(int count, bool compare) {
    Arena arena = {0};
    Tokenizer *tokenizer;
    Vocabulary *v = open_fake(&arena, &tokenizer);
    Totals totals = {0};
    for (int i = 0; i < count; i++) {
        Arena each = {0};
        write_reply(v, &each, compare, &totals);
        arena_free(&each);
    }
    CHECK_MSG(totals.blocks > (size_t)count / 2 && totals.forced > (size_t)count,
              "too little was written: %zu replies, %zu blocks, %zu escaped, %zu tokens, %zu forced",
              totals.replies, totals.blocks, totals.escaped, totals.tokens, totals.forced);
    vocabulary_close(v);
    tokenizer_close(tokenizer);
    arena_free(&arena);
}

static void test_random_replies(void) {
    write_replies(2000, false);
}

static void test_mask_is_the_bytewise_truth(void) {
    write_replies(150, true);
}

/* ---- labels ---- */

static Str *json_strings(Arena *arena, const Json *array, size_t *count) {
    *count = json_len(array);
    Str *items = ARENA_ARRAY(arena, Str, *count);
    size_t i = 0;
    JSON_EACH(item, array)
    items[i++] = json_str_value(item);
    return items;
}

/* The vectors' own vocabulary: bytes, merged pieces, then three end and turn tokens and the labels. */
static Tokenizer *open_vector_tokenizer(Arena *arena, const Json *root) {
    Err err = {0};
    TokenizerSource source = {.model = S("gpt2"), .pre = S("deepseek-coder"), .bos = -1, .eot = -1};
    source.eom = source.unknown = source.pad = -1;
    source.tokens = json_strings(arena, json_find(root, "tokens"), &source.token_count);
    source.merges = json_strings(arena, json_find(root, "merges"), &source.merge_count);
    int32_t *types = ARENA_ARRAY(arena, int32_t, source.token_count);
    for (size_t i = 0; i < source.token_count; i++) {
        types[i] = str_starts(source.tokens[i], S("<|")) ? 3 : 1;
        if (str_eq(source.tokens[i], S("<|im_end|>")))
            source.eos = (int32_t)i;
    }
    source.types = types;
    Tokenizer *tokenizer = tokenizer_open(&source, &err);
    CHECK_OK(tokenizer != NULL, err);
    return tokenizer;
}

/* FNV-1a over the allowed ids, low byte first, with the end tokens counted as the tokenizer's own one. */
static uint64_t hash_of_allowed(const Vocabulary *v, const uint64_t *bits, int64_t *count) {
    uint64_t hash = STR_HASH_START;
    *count = 0;
    for (size_t i = 0; i < v->count; i++) {
        int32_t id = (int32_t)i;
        if (!bit_is_set(bits, id) || (bit_is_set(v->ends, id) && id != v->first_end))
            continue;
        hash = str_hash_more(hash, (Str){(const char[]){(char)(i & 255), (char)(i >> 8)}, 2});
        ++*count;
    }
    return hash;
}

static void check_label_case(const Vocabulary *v, const Json *item, int first_label) {
    Err err = {0};
    GrammarSpec spec = {.form = FORM_LABELS,
                        .excerpt = json_str(item, "excerpt"),
                        .request = json_str(item, "request"),
                        .label_mode = (LabelMode)json_int(item, "mode", 0),
                        .first_label = first_label};
    Mask *mask = mask_open(v, &spec, &err);
    CHECK_OK(mask != NULL, err);
    uint64_t *bits = calloc(v->words, sizeof *bits), *plain = calloc(v->words, sizeof *plain);
    size_t step = 0;
    JSON_EACH(entry, json_find(item, "steps")) {
        int32_t token = (int32_t)entry->child->valuedouble;
        CHECK(mask_next(mask, bits));
        /* Labels moved back to where they are when numbering starts at 1. */
        memcpy(plain, bits, v->words * sizeof *bits);
        for (size_t k = 0; k < v->label_count; k++)
            plain[v->labels[k] >> 6] &= ~(UINT64_C(1) << (v->labels[k] & 63));
        for (size_t k = (size_t)first_label - 1; k < v->label_count; k++)
            if (bit_is_set(bits, v->labels[k]))
                bit_set(plain, v->labels[k - (size_t)first_label + 1]);
        int64_t count, expected = (int64_t)entry->child->next->valuedouble;
        uint64_t hash = hash_of_allowed(v, plain, &count);
        char text[17];
        snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
        CHECK_MSG(count == expected && str_eq(str_of(text), json_str_value(entry->child->next->next)),
                  "mode %d, <<%.*s>>, step %zu: %lld tokens allowed, expected %lld", (int)spec.label_mode,
                  STR_ARG(spec.request), step, (long long)count, (long long)expected);
        for (size_t k = 0; k < v->label_count; k++)
            if (v->labels[k] == token) {
                token = v->labels[k + (size_t)first_label - 1];
                break;
            }
        mask_accept(mask, token);
        step++;
    }
    CHECK(step > 0);
    free(bits);
    free(plain);
    mask_close(mask);
}

static void test_label_vectors(void) {
    Arena arena = {0};
    Err err = {0};
    Str text;
    Str path = str_printf(&arena, "%s/tests/vectors/engine/labels.json", test_source_dir());
    CHECK_OK(os_read_file(path.ptr, 1 << 20, &arena, &text, &err), err);
    Json *root = json_parse(text, &err);
    CHECK_OK(root != NULL, err);
    Tokenizer *tokenizer = open_vector_tokenizer(&arena, root);
    Vocabulary *v = vocabulary_open(tokenizer, &err);
    CHECK_OK(v != NULL, err);
    CHECK_INT(v->label_count, 40);
    size_t cases = 0;
    JSON_EACH(item, json_find(root, "cases")) {
        check_label_case(v, item, 1);
        check_label_case(v, item, 17);
        cases++;
    }
    CHECK_INT(cases, 54);
    vocabulary_close(v);
    tokenizer_close(tokenizer);
    json_free(root);
    arena_free(&arena);
}

/* Any choice of allowed tokens is a list of rising labels with lines behind them. */
static void write_labels(const Vocabulary *v, LabelMode mode, int first_label, size_t *labels) {
    Err err = {0};
    GrammarSpec spec = {.form = FORM_LABELS,
                        .excerpt = S("a = 1\n  abc(a)\n\n}\nname"),
                        .request = S("rename a to name"),
                        .label_mode = mode,
                        .first_label = first_label};
    Mask *mask = mask_open(v, &spec, &err);
    CHECK_OK(mask != NULL, err);
    uint64_t *bits = calloc(v->words, sizeof *bits);
    int last = first_label - 1;
    bool line_open = false;
    for (int step = 0; step < 400; step++) {
        CHECK(mask_next(mask, bits));
        int32_t token = choose(v, bits, (unsigned)(test_random() % 4)), forced;
        CHECK(token >= 0);
        if (mask_forced(mask, &forced))
            CHECK(bit_is_set(bits, forced) && (forced == token || bit_is_set(v->ends, token)));
        Str bytes = tokenizer_bytes(v->tokenizer, token);
        if (bit_is_set(v->ends, token)) {
            CHECK(!line_open);
            break;
        }
        if (tokenizer_is_control(v->tokenizer, token)) {
            int label = atoi(bytes.ptr + 2);
            CHECK(!line_open && label > last && label < first_label + 5);
            last = label;
            ++*labels;
        } else {
            CHECK(last >= first_label);
            line_open = !str_eq(bytes, S("\n"));
        }
        mask_accept(mask, token);
    }
    free(bits);
    mask_close(mask);
}

static void test_random_labels(void) {
    Arena arena = {0};
    Tokenizer *tokenizer;
    Vocabulary *v = open_fake(&arena, &tokenizer);
    size_t labels = 0;
    for (int i = 0; i < 600; i++)
        write_labels(v, (LabelMode)(i % 4), 1 + i % 8, &labels);
    CHECK(labels > 600);
    vocabulary_close(v);
    tokenizer_close(tokenizer);
    arena_free(&arena);
}

/* The pieces of the old line between the words that may give way, in order, with anything between them. */
static bool keeps_pieces(Str line, const Str *pieces, size_t count) {
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t hit = i == 0 ? (str_starts(line, pieces[0]) ? 0 : STR_NONE) : str_find(line, pieces[i], at);
        if (hit == STR_NONE)
            return false;
        at = hit + pieces[i].len;
    }
    return str_ends(line, pieces[count - 1]);
}

/* Anchored: whatever is chosen, only the words of the request change. */
static void test_anchored_lines(void) {
    static const Str FIRST[] = {STR_INIT("  "), STR_INIT("(x, abc2) + "), STR_INIT(";")},
                     SECOND[] = {STR_INIT("}")};
    Arena arena = {0};
    Tokenizer *tokenizer;
    Vocabulary *v = open_fake(&arena, &tokenizer);
    GrammarSpec spec = {.form = FORM_LABELS,
                        .excerpt = S("  abc(x, abc2) + abc;\n}"),
                        .request = S("rename `abc` to `bcd`"),
                        .label_mode = LABELS_ANCHORED,
                        .first_label = 1};
    uint64_t *bits = calloc(v->words, sizeof *bits);
    size_t changed = 0, lines = 0;
    for (int round = 0; round < 400; round++) {
        Err err = {0};
        Mask *mask = mask_open(v, &spec, &err);
        CHECK_OK(mask != NULL, err);
        Buf line = {0};
        int label = 0;
        for (int step = 0; step < 400; step++) {
            CHECK(mask_next(mask, bits));
            int32_t token = choose(v, bits, (unsigned)(test_random() % 4));
            Str bytes = tokenizer_bytes(v->tokenizer, token);
            if (bit_is_set(v->ends, token))
                break;
            if (tokenizer_is_control(v->tokenizer, token))
                label = atoi(bytes.ptr + 2);
            else
                buf_str(&line, bytes);
            if (str_ends(buf_text(&line), S("\n"))) {
                Str text = str_slice(buf_text(&line), 0, line.len - 1);
                CHECK_MSG(label == 1 ? keeps_pieces(text, FIRST, 3) : keeps_pieces(text, SECOND, 1), "<%.*s>",
                          STR_ARG(text));
                changed += !str_eq(text, S("  abc(x, abc2) + abc;"));
                lines++;
                buf_clear(&line);
            }
            mask_accept(mask, token);
        }
        buf_free(&line);
        mask_close(mask);
    }
    CHECK(lines > 100 && changed > 50);
    free(bits);
    vocabulary_close(v);
    tokenizer_close(tokenizer);
    arena_free(&arena);
}

static void check_refused(const Vocabulary *v, GrammarSpec spec, ErrCode code) {
    Err err = {0};
    CHECK(mask_open(v, &spec, &err) == NULL);
    CHECK_INT(err.code, code);
    CHECK(err.text[0] != 0);
}

static void test_forms_that_cannot_be_served(void) {
    Arena arena = {0};
    Tokenizer *tokenizer;
    Vocabulary *v = open_fake(&arena, &tokenizer);
    GrammarFile odd = {S("two words"), S("a\n")};
    check_refused(v, (GrammarSpec){.form = FORM_LABELS, .excerpt = S("a"), .first_label = 0}, ERR_LIMIT);
    check_refused(v, (GrammarSpec){.form = FORM_LABELS, .excerpt = S("a\nb"), .first_label = FAKE_LABELS},
                  ERR_LIMIT);
    check_refused(v, (GrammarSpec){.form = FORM_BLOCKS, .edits_only = true}, ERR_INVALID);
    check_refused(v, (GrammarSpec){.form = FORM_BLOCKS, .edits_only = true, .files = &odd, .file_count = 1},
                  ERR_INVALID);
    Err err = {0};
    Mask *mask = mask_open(v, &(GrammarSpec){.form = FORM_NONE}, &err);
    CHECK_OK(mask != NULL, err);
    CHECK(!mask_next(mask, NULL));
    mask_close(mask);
    vocabulary_close(v);
    tokenizer_close(tokenizer);
    arena_free(&arena);
}

/* ---- single rules ---- */

static void write_bytes(BlockMask *mask, const Vocabulary *v, const char *text) {
    for (; *text; text++) {
        int32_t token = tokenizer_find(v->tokenizer, (Str){text, 1});
        CHECK_MSG(block_mask_allows(mask, token), "refused at <<%s>>", text);
        block_mask_accept(mask, token);
    }
}

static bool may_write(const BlockMask *mask, const Vocabulary *v, char byte) {
    return block_mask_allows(mask, tokenizer_find(v->tokenizer, (Str){&byte, 1}));
}

static void test_new_paths(void) {
    static const struct {
        const char *start, *allowed, *refused;
    } CASES_OF[] = {
        {"", "sm.+@_9", "/-\n <`"}, /* relative, plain */
        {"src", "/x", "\n"},        /* a folder */
        {"src/a.c", "\nx.", "/"},   /* a file given: to be edited, no folder */
        {"src/b.c", "\n/x", " "},   /* a new one */
        {"src/.", ".gx", "\n/"},    {"src/..", "x.", "\n/"}, {".git", "x", "\n/"},    {".GIT", "x", "\n/"},
        {".gita", "\n/x", " "},     {"x/", "y", "\n/"},      {"Makefile", "\n", " "},
    };
    Arena arena = {0};
    Tokenizer *tokenizer;
    Vocabulary *v = open_fake(&arena, &tokenizer);
    GrammarFile file = {S("src/a.c"), S("a\n")};
    GrammarSpec spec = {
        .form = FORM_BLOCKS, .files = &file, .file_count = 1, .allow_new_files = true, .edits_only = true};
    for (size_t i = 0; i < sizeof CASES_OF / sizeof *CASES_OF; i++) {
        Err err = {0};
        BlockMask *mask = block_mask_open(v, &spec, &err);
        CHECK_OK(mask != NULL, err);
        write_bytes(mask, v, CASES_OF[i].start);
        for (const char *c = CASES_OF[i].allowed; *c; c++)
            CHECK_MSG(may_write(mask, v, *c), "0x%02x is refused after %s", *c, CASES_OF[i].start);
        for (const char *c = CASES_OF[i].refused; *c; c++)
            CHECK_MSG(!may_write(mask, v, *c), "0x%02x is allowed after %s", *c, CASES_OF[i].start);
        block_mask_close(mask);
    }
    vocabulary_close(v);
    tokenizer_close(tokenizer);
    arena_free(&arena);
}

static void test_one_reply(void) {
    Arena arena = {0};
    Tokenizer *tokenizer;
    Vocabulary *v = open_fake(&arena, &tokenizer);
    Err err = {0};
    GrammarFile file = {S("a.c"), S("x\ny\nx\nz")};
    GrammarSpec spec = {.form = FORM_BLOCKS, .files = &file, .file_count = 1};
    BlockMask *mask = block_mask_open(v, &spec, &err);
    CHECK_OK(mask != NULL, err);
    write_bytes(mask, v, "Some prose.\na.c\n```c\n<<<<<<< SEARCH\nx\n");
    CHECK(!may_write(mask, v, '=')); /* twice in the file */
    CHECK(may_write(mask, v, 'y') && may_write(mask, v, 'z') && !may_write(mask, v, 'x'));
    write_bytes(mask, v, "z\n");
    CHECK(!may_write(mask, v, 'x'));
    write_bytes(mask, v, "=======\nx\nz\n>>>>");
    CHECK(!may_write(mask, v, '>')); /* the same text again */
    write_bytes(mask, v, "\n  >>>>");
    CHECK(!may_write(mask, v, '>')); /* reads like a marker */
    write_bytes(mask, v, "\n>>>>>>> REPLACE");
    CHECK(block_mask_allows(mask, v->first_end));
    write_bytes(mask, v, "\n```\na.c\n<<<<<<< SEARCH\n");
    CHECK(!may_write(mask, v, 'z')); /* taken */
    write_bytes(mask, v, "x\ny\n=======\n");
    CHECK(!block_mask_allows(mask, v->first_end));
    write_bytes(mask, v, ">>>>>>> REPLACE\nDone.\n<<<<");
    CHECK(!may_write(mask, v, '<')); /* no path above */
    CHECK(block_mask_allows(mask, v->first_end));
    CHECK_INT(block_mask_escaped(mask), 0);
    block_mask_close(mask);
    vocabulary_close(v);
    tokenizer_close(tokenizer);
    arena_free(&arena);
}

/* To the form a call of a tool is prose, in every dialect. */
static void test_calls_of_tools(void) {
    static const char *const REPLIES[] = {
        "I look.\n<tool_call>\n{\"name\": \"read_files\", \"arguments\": {\"paths\": "
        "[\"a.c:1-2\"]}}\n</tool_call>",
        "<tool_call>\n<function=run_shell>\n<parameter=command>\nif [ 1 < 2 ]; then\n\techo "
        "a\nfi\n</parameter>\n"
        "</function>\n</tool_call>",
        "<tool_call>search\n<arg_key>pattern</arg_key>\n<arg_value>a << 2</arg_value>\n</tool_call>",
        "[TOOL_CALLS]search[ARGS]{\"pattern\": \"x\"}",
        "<|channel|>commentary to=functions.search<|message|>{}<|call|>",
    };
    Arena arena = {0};
    Tokenizer *tokenizer;
    Vocabulary *v = open_fake(&arena, &tokenizer);
    GrammarFile file = {S("a.c"), S("x\ny\n")};
    GrammarSpec spec = {.form = FORM_BLOCKS, .files = &file, .file_count = 1, .allow_new_files = true};
    for (size_t i = 0; i < sizeof REPLIES / sizeof *REPLIES; i++) {
        Err err = {0};
        BlockMask *mask = block_mask_open(v, &spec, &err);
        CHECK_OK(mask != NULL, err);
        write_bytes(mask, v, REPLIES[i]);
        CHECK(block_mask_allows(mask, v->first_end));
        block_mask_close(mask);
    }
    vocabulary_close(v);
    tokenizer_close(tokenizer);
    arena_free(&arena);
}

static void test_the_way_out(void) {
    Arena arena = {0};
    Tokenizer *tokenizer;
    Vocabulary *v = open_fake(&arena, &tokenizer);
    Err err = {0};
    GrammarFile file = {S("a.c"),
                        S("x\n=======\nx\n")}; /* the only text that could tell them apart is a marker */
    GrammarSpec spec = {.form = FORM_BLOCKS, .files = &file, .file_count = 1, .edits_only = true};
    BlockMask *mask = block_mask_open(v, &spec, &err);
    CHECK_OK(mask != NULL, err);
    write_bytes(mask, v, "a.c\n<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n");
    CHECK_INT(block_mask_escaped(mask), 1);
    CHECK_INT(block_mask_forced(mask), v->first_end);
    block_mask_close(mask);
    vocabulary_close(v);
    tokenizer_close(tokenizer);
    arena_free(&arena);
}

/* Guided text must come back to the old line. */
static void test_guided_limit(void) {
    Arena arena = {0};
    Tokenizer *tokenizer;
    Vocabulary *v = open_fake(&arena, &tokenizer);
    Err err = {0};
    GrammarSpec spec = {.form = FORM_LABELS,
                        .excerpt = S("q"),
                        .request = S("z"),
                        .label_mode = LABELS_GUIDED,
                        .first_label = 1};
    Mask *mask = mask_open(v, &spec, &err);
    CHECK_OK(mask != NULL, err);
    uint64_t *bits = ARENA_ARRAY(&arena, uint64_t, v->words);
    int32_t only = -1;
    mask_accept(mask, v->labels[0]);
    for (int i = 0; i <= 60; i++) {
        mask_next(mask, bits);
        CHECK(bit_is_set(bits, tokenizer_find(tokenizer, S("z"))));
        mask_accept(mask, tokenizer_find(tokenizer, S("z")));
    }
    CHECK(mask_forced(mask, &only));
    CHECK_INT(only, tokenizer_find(tokenizer, S("\n")));
    mask_close(mask);
    vocabulary_close(v);
    tokenizer_close(tokenizer);
    arena_free(&arena);
}

static const TestCase CASES[] = {
    {"label_vectors", test_label_vectors},
    {"guided_limit", test_guided_limit},
    {"new_paths", test_new_paths},
    {"one_reply", test_one_reply},
    {"calls_of_tools", test_calls_of_tools},
    {"the_way_out", test_the_way_out},
    {"random_labels", test_random_labels},
    {"anchored_lines", test_anchored_lines},
    {"forms_that_cannot_be_served", test_forms_that_cannot_be_served},
    {"random_replies", test_random_replies},
    {"mask_is_the_bytewise_truth", test_mask_is_the_bytewise_truth},
};
TEST_SUITE(ENGINE_GRAMMAR_SUITE, "grammar", CASES);
