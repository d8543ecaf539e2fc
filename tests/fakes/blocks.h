/* For tests of forced edits: a small vocabulary with awkward tokens, and an independent reader of replies
 * that says what is wrong with one. Shared by the unit tests and the fuzz target. */
#ifndef MUX_TESTS_FAKES_BLOCKS_H
#define MUX_TESTS_FAKES_BLOCKS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "engine/grammar.h"

enum { FAKE_LABELS = 12 };

static const char *const FAKE_WORDS[] = {
    "\n=======\n",
    "=======",
    "=======\n",
    "<<<<<<< SEARCH\n",
    "<<<<<<<",
    "<<<",
    ">>>>>>> REPLACE",
    "\n>>>>>>> REPLACE\n",
    ">>>>>>>",
    ">>>",
    " REPLACE\n",
    "==",
    "====",
    "\n\n",
    "\n\n\n",
    "    ",
    "        ",
    "\t",
    "ab",
    "abc",
    "a\n",
    "b\n",
    "a\nb\n",
    "}\n",
    "src/",
    "../",
    "./",
    ".c",
    "a.c",
    "src/a.c\n",
    "src/a.c",
    "/",
    "//",
    ".git",
    "\n```\n",
    "```",
    "\n<<<<<<< SEARCH\n",
    "\xC3\xA9",
    "\xC3",
    "\xE2\x82",
    "\x82\xAC",
    "x\n=======\n",
    "\r\n",
    "return",
    " return",
    "return 1;\n",
    "name",
    "a\n=======\nb\n>>>>>>> REPLACE\n",
    "src/a.c\n<<<<<<< SEARCH\na\n",
    ",",
    ">>>>>>> REPLACE\nsrc/a.c\n<<<<<<< SEARCH\n",
};
enum { FAKE_WORD_COUNT = sizeof FAKE_WORDS / sizeof *FAKE_WORDS };

/* Byte-level spelling: printable bytes stand for themselves, the others for code points from 256 on. */
static inline Str fake_spelling(Arena *arena, Str bytes) {
    Buf out = {0};
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned b = (uint8_t)bytes.ptr[i], hidden = 0;
        for (unsigned c = 0; c < b; c++)
            hidden += !((c >= 33 && c <= 126) || (c >= 161 && c <= 172) || c >= 174);
        bool shown = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        utf8_put(&out, shown ? b : 256 + hidden);
    }
    Str copy = buf_copy(&out, arena);
    buf_free(&out);
    return copy;
}

/* 256 bytes, FAKE_WORDS, <|end|>, <|other|>, labels <|1|> ... */
static inline Tokenizer *fake_tokenizer_open(Arena *arena, Err *err) {
    size_t count = 256 + FAKE_WORD_COUNT + 2 + FAKE_LABELS;
    Str *tokens = ARENA_ARRAY(arena, Str, count);
    int32_t *types = ARENA_ARRAY(arena, int32_t, count);
    for (size_t i = 0; i < count; i++) {
        char byte = (char)i;
        types[i] = 1;
        if (i < 256)
            tokens[i] = fake_spelling(arena, (Str){&byte, 1});
        else if (i < 256 + FAKE_WORD_COUNT)
            tokens[i] = fake_spelling(arena, str_of(FAKE_WORDS[i - 256]));
    }
    size_t end = 256 + FAKE_WORD_COUNT;
    tokens[end] = S("<|im_end|>");
    tokens[end + 1] = S("<|other|>");
    types[end] = types[end + 1] = 3;
    for (size_t k = 0; k < FAKE_LABELS; k++) {
        tokens[end + 2 + k] = str_printf(arena, "<|%zu|>", k + 1);
        types[end + 2 + k] = 3;
    }
    /* Merges give the forced text a spelling of more than single bytes. */
    static const Str MERGES[] = {STR_INIT("a b"), STR_INIT("ab c"), STR_INIT("> >")};
    TokenizerSource source = {.model = S("gpt2"),
                              .pre = S("gpt-2"),
                              .tokens = tokens,
                              .types = types,
                              .token_count = count,
                              .merges = MERGES,
                              .merge_count = sizeof MERGES / sizeof *MERGES,
                              .bos = -1,
                              .eos = (int32_t)end,
                              .eot = -1,
                              .eom = -1,
                              .unknown = -1,
                              .pad = -1};
    return tokenizer_open(&source, err);
}

typedef struct FakeFound {
    const GrammarFile *file;
    size_t begin, end;
} FakeFound;

/* How often whole lines occur in a text, the final "\n" thought added; *place is the last one. */
static inline size_t fake_occurrences(Str text, Str lines, size_t *place) {
    Buf whole = {0};
    buf_str(&whole, text);
    if (text.len && text.ptr[text.len - 1] != '\n')
        buf_char(&whole, '\n');
    size_t count = 0;
    for (size_t i = 0; lines.len && i + lines.len <= whole.len; i++)
        if ((i == 0 || whole.ptr[i - 1] == '\n') && memcmp(whole.ptr + i, lines.ptr, lines.len) == 0) {
            count++;
            *place = i;
        }
    buf_free(&whole);
    return count;
}

/* Markers as a lenient reader takes them: 5 to 9 signs, blanks in front, then the word. */
static inline bool fake_is_marker(Str line, char sign, const char *word) {
    Str s = str_trim(line);
    size_t signs = 0;
    while (signs < s.len && s.ptr[signs] == sign)
        signs++;
    if (sign == '=')
        return line.len && line.ptr[0] == '=' && signs == 7 && s.len == 7;
    return signs >= 5 && signs <= 9 && (str_starts(str_trim(str_from(s, signs)), str_of(word)) || s.len == 7);
}

typedef struct FakeReader {
    const GrammarSpec *spec;
    FakeFound *found;
    Str *created;
    size_t found_count, created_count, blocks, escaped;
    Arena arena;
} FakeReader;

static inline const char *fake_check_path(FakeReader *r, Str path, const GrammarFile **file) {
    *file = NULL;
    for (size_t i = 0; i < r->spec->file_count; i++)
        if (str_eq(r->spec->files[i].path, path))
            *file = &r->spec->files[i];
    if (*file)
        return NULL;
    if (!r->spec->allow_new_files)
        return "an unknown path";
    Str padded = str_printf(&r->arena, "/%.*s/", STR_ARG(path));
    if (!path.len || str_contains(padded, S("/../")) || str_contains(padded, S("//")) ||
        str_contains(padded, S("/./")) || str_contains(padded, S("/.git/")))
        return "a new path that is not plain and relative";
    for (size_t i = 0; i < r->created_count + r->spec->file_count; i++) {
        Str other = i < r->created_count ? r->created[i] : r->spec->files[i - r->created_count].path;
        if (str_eq(other, path) || str_starts(other, str_printf(&r->arena, "%.*s/", STR_ARG(path))) ||
            str_starts(path, str_printf(&r->arena, "%.*s/", STR_ARG(other))))
            return "a new path that collides with a taken one";
    }
    r->created[r->created_count++] = path;
    return NULL;
}

static inline const char *fake_check_block(FakeReader *r, Str path, Str old_text, Str new_text) {
    const GrammarFile *file;
    const char *wrong = fake_check_path(r, path, &file);
    if (wrong)
        return wrong;
    if (str_eq(old_text, new_text))
        return "REPLACE equals SEARCH";
    if (!file || file->text.len == 0)
        return old_text.len ? "SEARCH text in an empty file" : NULL;
    if (!str_trim(old_text).len)
        return "a SEARCH part without text";
    size_t place = 0, count = fake_occurrences(file->text, old_text, &place);
    if (count == 0)
        return "SEARCH text that is not in the file";
    if (count > 1) {
        r->escaped++;
        return NULL;
    }
    for (size_t i = 0; i < r->found_count; i++)
        if (r->found[i].file == file && place < r->found[i].end && r->found[i].begin < place + old_text.len)
            return "blocks that overlap";
    r->found[r->found_count++] = (FakeFound){file, place, place + old_text.len};
    return NULL;
}

/* NULL when the reply is in order; counts blocks and those whose SEARCH text repeats. */
static inline const char *fake_check_reply(const GrammarSpec *spec, Str reply, size_t *blocks,
                                           size_t *escaped) {
    FakeReader r = {.spec = spec};
    r.found = ARENA_ARRAY(&r.arena, FakeFound, reply.len / 8 + 1);
    r.created = ARENA_ARRAY(&r.arena, Str, reply.len / 8 + 1);
    enum { PROSE, OLD, NEW } part = PROSE;
    const char *wrong = utf8_valid(reply) ? NULL : "invalid UTF-8";
    Str rest = reply, line, before = {0}, before_that = {0}, path = {0}, old_text = {0};
    const char *begin = reply.ptr;
    size_t prose_lines = 0;
    while (!wrong && rest.len) {
        const char *line_begin = rest.ptr;
        str_next_line(&rest, &line);
        const char *next = rest.ptr;
        if (fake_is_marker(line, '<', "SEARCH")) {
            if (part != PROSE || prose_lines == 0 || (spec->edits_only && prose_lines > 1))
                wrong = "a SEARCH marker out of place";
            part = OLD;
            begin = next;
            path = str_starts(before, S("```")) ? before_that : before;
        } else if (part != PROSE && fake_is_marker(line, '=', "")) {
            if (part != OLD)
                wrong = "a second divider";
            part = NEW;
            old_text = str_range(begin, line_begin);
            begin = next;
        } else if (fake_is_marker(line, '>', "REPLACE")) {
            wrong = part != NEW ? "a REPLACE marker out of place"
                                : fake_check_block(&r, path, old_text, str_range(begin, line_begin));
            r.blocks++;
            part = PROSE;
            prose_lines = 0;
        } else if (part == PROSE) {
            prose_lines++;
        }
        before_that = before;
        before = line;
    }
    if (!wrong && part != PROSE)
        wrong = "a block that is not closed";
    if (!wrong && spec->edits_only && (r.blocks == 0 || prose_lines > 0))
        wrong = "prose where only blocks were asked for";
    *blocks = r.blocks;
    *escaped = r.escaped;
    arena_free(&r.arena);
    return wrong;
}

#endif
