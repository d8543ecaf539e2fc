/* edit_locate beyond the golden cases: hints, kinds, refusals; and random edits disguised as models disguise
 * them, whose result must be the intended text or a refusal, never another text. */
#include <string.h>

#include "diff/edit.h"
#include "tests/fakes/edit_scene.h"
#include "tests/runner.h"

enum { ROUNDS = 3000 };

/* ---- a stand-in for symbols: "def NAME" and "class NAME" by indentation ---- */

static size_t indent_of(Str line) {
    size_t n = 0;
    while (n < line.len && line.ptr[n] == ' ')
        n++;
    return n;
}

static bool defines(Str line, Str name) {
    Str s = str_trim(line);
    if (!str_starts(s, S("def ")) && !str_starts(s, S("class ")))
        return false;
    s = str_from(s, str_find_char(s, ' ', 0) + 1);
    return str_starts(s, name) && s.len > name.len && (s.ptr[name.len] == '(' || s.ptr[name.len] == ':');
}

static size_t next_line(Str text, size_t at) {
    size_t end = str_find_char(text, '\n', at);
    return end == STR_NONE ? text.len : end + 1;
}

static size_t find_in(Str text, TextRange within, Str name, TextRange *out, size_t most) {
    size_t count = 0;
    for (size_t at = within.begin; at < within.end;) {
        size_t end = next_line(text, at);
        Str line = str_slice(text, at, end);
        size_t stop = end;
        for (size_t i = end; defines(line, name) && i < text.len;) {
            size_t next = next_line(text, i);
            Str other = str_slice(text, i, next);
            if (str_trim(other).len && indent_of(other) <= indent_of(line))
                break;
            stop = str_trim(other).len ? next : stop;
            i = next;
        }
        if (defines(line, name) && count++ < most)
            out[count - 1] = (TextRange){at, stop};
        at = end;
    }
    return count;
}

static size_t find_symbol(void *ctx, Str text, Str name, TextRange *out, size_t most) {
    (void)ctx;
    TextRange outer[8], whole = {0, text.len};
    size_t dot = str_find_char(name, '.', 0), count = 0;
    if (dot == STR_NONE)
        return find_in(text, whole, name, out, most);
    size_t outers = find_in(text, whole, str_slice(name, 0, dot), outer, 8);
    for (size_t i = 0; i < outers && i < 8; i++)
        count += find_in(text, outer[i], str_from(name, dot + 1), out + count, most - count);
    return count;
}

/* ---- one edit ---- */

static bool run(Str file, const Edit *edit, const EditHelp *help, Arena *arena, Place *place, Str *result,
                Err *err) {
    if (!edit_locate(file, edit, help, arena, place, err))
        return false;
    CHECK(place->text_hash == str_hash(file));
    CHECK_STR(place->path, edit->path);
    CHECK(place->begin <= place->end && place->end <= file.len);
    return edit_apply(file, place, 1, arena, result, err);
}

static void expect(Str file, Edit edit, const char *result, MatchLevel level) {
    Arena arena = {0};
    Err err = {0};
    Place place;
    Str text;
    EditHelp help = {.find_symbol = find_symbol};
    edit.path = S("a.py");
    CHECK_OK(run(file, &edit, &help, &arena, &place, &text, &err), err);
    CHECK_STR(text, str_of(result));
    CHECK_INT(place.level, level);
    arena_free(&arena);
}

static void refuse(Str file, Edit edit, ErrCode code, const char *words) {
    Arena arena = {0};
    Err err = {0};
    Place place;
    EditHelp help = {.find_symbol = find_symbol};
    CHECK(!edit_locate(file, &edit, &help, &arena, &place, &err));
    CHECK_MSG(err.code == code, "%s: %s", err_name(err.code), err.text);
    CHECK_MSG(str_contains(str_of(err.text), str_of(words)), "%s", err.text);
    arena_free(&arena);
}

static void applied(Str file, Edit edit) {
    Arena arena = {0};
    Err err = {0};
    Place place;
    Str text;
    EditHelp help = {.find_symbol = find_symbol};
    CHECK_OK(run(file, &edit, &help, &arena, &place, &text, &err), err);
    CHECK(place.already_applied);
    CHECK_STR(text, file);
    arena_free(&arena);
}

#define REPLACE(old, new, ...) ((Edit){.old_text = S(old), .new_text = S(new), __VA_ARGS__})

/* Two equal lines, 30 lines apart. */
static Str twice(Arena *arena) {
    Buf out = {0};
    for (int i = 1; i <= 60; i++)
        buf_printf(&out, i == 10 || i == 40 ? "same\n" : "line %d\n", i);
    Str text = buf_copy(&out, arena);
    buf_free(&out);
    return text;
}

static void line_hints(void) {
    Arena arena = {0};
    Str file = twice(&arena);
    static const struct {
        size_t hint, line;
    } CHOICES[] = {{10, 10}, {40, 40}, {13, 10}, {37, 40}, {0, 0}, {25, 0}, {14, 0}, {1000000, 0}};
    for (size_t i = 0; i < sizeof CHOICES / sizeof *CHOICES; i++) {
        Edit edit = REPLACE("same\n", "other\n", .line_hint = CHOICES[i].hint);
        Place place;
        Err err = {0};
        bool ok = edit_locate(file, &edit, NULL, &arena, &place, &err);
        CHECK_INT(ok, CHOICES[i].line != 0);
        CHECK(ok || err.code == ERR_AMBIGUOUS);
        CHECK(!ok || place.begin == str_find(file, S("same\n"), CHOICES[i].line == 10 ? 0 : 200));
    }
    refuse(S("x\nx\nx\n"), REPLACE("x\n", "y\n", .line_hint = 2), ERR_AMBIGUOUS, "lines 1, 2, 3;");
    expect(S("a\nx\nb\n"), REPLACE("x\n", "y\n", .line_hint = 99), "a\ny\nb\n", MATCH_EXACT);
    arena_free(&arena);
}

#define TWO_CLASSES                                                                                          \
    "class A:\n    def f(self):\n        return 1\n\nclass B:\n    def f(self):\n        return 1\n"

static void scope_hints(void) {
    Edit edit = REPLACE("        return 1\n", "        return 2\n", .symbol = S("class B:"));
    expect(S(TWO_CLASSES), edit,
           "class A:\n    def f(self):\n        return 1\n\nclass B:\n    def f(self):\n        return 2\n",
           MATCH_EXACT);
    edit.symbol = S("class A:\ndef f(self):");
    expect(S(TWO_CLASSES), edit,
           "class A:\n    def f(self):\n        return 2\n\nclass B:\n    def f(self):\n        return 1\n",
           MATCH_EXACT);
    edit.symbol = S("def f(self):");
    refuse(S(TWO_CLASSES), edit, ERR_AMBIGUOUS, "lines 3, 7;");
    edit.symbol = S("class C:");
    refuse(S(TWO_CLASSES), edit, ERR_AMBIGUOUS, "lines 3, 7;");
    /* a text that nothing is known of: the scope is a line, its block what is indented below */
    expect(S("[one]\n  x = 1\n[two]\n  x = 1\n"), REPLACE("  x = 1\n", "  x = 2\n", .symbol = S("[two]")),
           "[one]\n  x = 1\n[two]\n  x = 2\n", MATCH_EXACT);
    /* a scope that contradicts the line says that one of both is wrong */
    edit.symbol = S("def g():");
    edit.line_hint = 7;
    refuse(S(TWO_CLASSES "def g():\n    pass\n"), edit, ERR_AMBIGUOUS, "lines 3, 7;");
}

static void file_ends(void) {
    expect(S("x\ny\nx\n"), REPLACE("x\n", "z\n", .is_at_end = true), "x\ny\nz\n", MATCH_EXACT);
    expect(S("x\n"), REPLACE("", "y\n", .is_at_end = true), "x\ny\n", MATCH_EXACT);
    expect(S("x"), REPLACE("", "y\n", .is_at_end = true), "x\ny", MATCH_EXACT);
    expect(S("x\r\n"), REPLACE("", "y\n", .is_at_end = true), "x\r\ny\r\n", MATCH_EXACT);
    applied(S("x\ny\n"), REPLACE("", "y\n", .is_at_end = true));
    expect(S(""), REPLACE("", "y\n"), "y\n", MATCH_EXACT);
    expect(S("\n\n"), REPLACE("", "y\n"), "y\n", MATCH_EXACT);
    refuse(S("x\n"), REPLACE("", "y\n"), ERR_INVALID, "no text to find");
    refuse(S("x\n"), REPLACE("", "y\n", .line_hint = 1), ERR_INVALID, "no text to find");
    applied(S("x\n"), REPLACE("", "x\n"));
    /* a missing line end never joins two lines */
    expect(S("a\nb\n"), (Edit){.old_text = S("a\n"), .new_text = S("A")}, "A\nb\n", MATCH_EXACT);
    expect(S("a\nb"), (Edit){.old_text = S("b"), .new_text = S("B\n")}, "a\nB\n", MATCH_EXACT);
}

static void conflicts(void) {
    Str file = S("<<<<<<< HEAD\nours = 1\n=======\ntheirs = 1\n>>>>>>> x\nlast = 1\n");
    refuse(file, REPLACE("ours = 1\n", "theirs = 1\n"), ERR_INVALID, "merge markers");
    refuse(file, REPLACE("theirs = 1\n", "x\n"), ERR_INVALID, "merge markers");
    expect(file, REPLACE("last = 1\n", "last = 2\n"),
           "<<<<<<< HEAD\nours = 1\n=======\ntheirs = 1\n>>>>>>> x\nlast = 2\n", MATCH_EXACT);
}

#define WHOLE(text, ...) ((Edit){.kind = EDIT_WHOLE, .new_text = S(text), __VA_ARGS__})

static void whole_files(void) {
    Arena arena = {0};
    Err err = {0};
    Place place;
    expect(S("a\nb\nc\n"), WHOLE("a\nB\nc\n"), "a\nB\nc\n", MATCH_EXACT);
    Edit edit = WHOLE("a\nB\nc\n");
    CHECK_OK(edit_locate(S("a\nb\nc\n"), &edit, NULL, &arena, &place, &err), err);
    CHECK_INT(place.begin, 2);
    CHECK_INT(place.end, 4);
    CHECK_STR(place.new_text, S("B\n"));
    expect(S("a\r\nb\r\n"), WHOLE("a\nB\nc\n"), "a\r\nB\r\nc\r\n", MATCH_EXACT);
    expect(S("a\nb"), WHOLE("a\nb\nc\n"), "a\nb\nc", MATCH_EXACT);
    expect(S("a\nb\n"), WHOLE("a\nB"), "a\nB\n", MATCH_EXACT);
    expect(S("\xEF\xBB\xBF"
             "a\nb\n"),
           WHOLE("a\nc\n"),
           "\xEF\xBB\xBF"
           "a\nc\n",
           MATCH_EXACT);
    expect(S("a\nb\r\nc\nd\nx\n"), WHOLE("A\nb\nc\nd\nX\n"), "A\nb\r\nc\nd\nX\n", MATCH_EXACT);
    expect(S(""), WHOLE("x\n"), "x\n", MATCH_EXACT);
    applied(S("a\r\nb"), WHOLE("a\nb\n"));
    refuse(S("a\nb\nc\nd\ne\n"), WHOLE("a\nb\n"), ERR_INVALID,
           "lacks 3 of its lines, such as those from line");
    refuse(S("a\nb\n"), WHOLE("a\n# rest of the code\n"), ERR_INVALID, "placeholder");
    /* a part of the file is not the file */
    Str parts = S("import os\n\ndef one():\n    return 1\n\ndef two():\n    return 2\n\ndef three():\n    "
                  "return 3\n");
    refuse(parts, WHOLE("def two():\n    return 22\n\ndef three():\n    return 3\n"), ERR_INVALID,
           "lacks 3 of its lines, such as those from line 1;");
    refuse(parts, WHOLE("import os\n\ndef one():\n    return 11\n\ndef two():\n"), ERR_INVALID,
           "lacks 3 of its lines, such as those from line");
    expect(S("a\nb\nc\nd\ne\n"), WHOLE("x\ny\n"), "x\ny\n", MATCH_EXACT);
    refuse(S("a\nb\nc\nd\ne\nf\ng\n"), WHOLE("x\ny\n"), ERR_INVALID, "two thirds");
    expect(S("a\nb\nc\n"), WHOLE("x\n"), "x\n", MATCH_EXACT);
    refuse(parts, WHOLE("import os\n\ndef one():\n    return 11\n\ndef three():\n    return 3\n"),
           ERR_INVALID, "lacks 2 of its lines");
    expect(S("import os\n<<<<<<< HEAD\na = 1\n=======\na = 2\n>>>>>>> x\nprint(a)\n"),
           WHOLE("import os\na = 2\nprint(a)\n# end\n"), "import os\na = 2\nprint(a)\n# end\n", MATCH_EXACT);
    EditHelp removing = {.may_remove = true};
    edit = WHOLE("def two():\n    return 2\n\ndef three():\n    return 3\n");
    CHECK_OK(edit_locate(parts, &edit, &removing, &arena, &place, &err), err);
    EditHelp help = {.may_shrink = true};
    edit = WHOLE("a\nb\n");
    CHECK_OK(edit_locate(S("a\nb\nc\nd\ne\n"), &edit, &help, &arena, &place, &err), err);
    arena_free(&arena);
}

#define SYMBOL(name, text) ((Edit){.kind = EDIT_SYMBOL, .symbol = S(name), .new_text = S(text)})

static void symbols(void) {
    Str file = S("def g():\n    return 0\n\n\n" TWO_CLASSES);
    expect(S("def g():\n    return 0\n\n\nx = 1\n"), SYMBOL("g", "def g():\n    return 9\n\n"),
           "def g():\n    return 9\n\n\nx = 1\n", MATCH_EXACT);
    expect(file, SYMBOL("B.f", "def f(self):\n    if x:\n        return 2\n"),
           "def g():\n    return 0\n\n\nclass A:\n    def f(self):\n        return 1\n\nclass B:\n    def "
           "f(self):\n        if x:\n            return 2\n",
           MATCH_INDENT);
    expect(S("a = 1\r\ndef g():\r\n    return 0\r\nb = 1\r\n"), SYMBOL("g", ""), "a = 1\r\nb = 1\r\n",
           MATCH_EXACT);
    expect(S("def g():\r\n    return 0"), SYMBOL("g", "def g():\n    return 1\n"), "def g():\r\n    return 1",
           MATCH_EXACT);
    refuse(file, SYMBOL("f", "x\n"), ERR_AMBIGUOUS, "lines 6, 10");
    refuse(file, SYMBOL("nothing", "def nothing(): pass\n"), ERR_NOT_FOUND, "no definition of nothing");
    refuse(file, SYMBOL("g", "def g():\n    # ... existing code ...\n"), ERR_INVALID, "placeholder");
    applied(file, SYMBOL("g", "def g():\n    return 0\n"));
    applied(file, SYMBOL("old_g", "def g():\n    return 0\n"));
    Arena arena = {0};
    Err err = {0};
    Place place;
    Edit edit = SYMBOL("g", "x\n");
    CHECK(!edit_locate(file, &edit, NULL, &arena, &place, &err));
    CHECK_INT(err.code, ERR_UNSUPPORTED);
    arena_free(&arena);
}

static Edit lines_edit(size_t first, const char *first_text, size_t last, const char *last_text,
                       Str new_text) {
    return (Edit){.kind = EDIT_LINES,
                  .first_line = first,
                  .last_line = last,
                  .first_hash = edit_line_hash(str_of(first_text)),
                  .last_hash = edit_line_hash(str_of(last_text)),
                  .new_text = new_text};
}

static void numbered_lines(void) {
    Str file = S("a\n  b\r\nc\nd\n");
    CHECK_INT(edit_line_hash(S("  b\r\n")), edit_line_hash(S("b")));
    expect(file, lines_edit(2, "b", 3, "c", S("x\ny\nz\n")), "a\nx\ny\nz\nd\n", MATCH_EXACT);
    expect(file, lines_edit(1, "a", 1, "a", S("")), "  b\r\nc\nd\n", MATCH_EXACT);
    expect(S("a\nb"), lines_edit(2, "b", 2, "b", S("x\ny\n")), "a\nx\ny", MATCH_EXACT);
    refuse(file, lines_edit(2, "c", 3, "c", S("x\n")), ERR_INVALID, "is line 3");
    refuse(file, lines_edit(2, "b", 3, "nothing", S("x\n")), ERR_INVALID, "(\"c\")");
    refuse(file, lines_edit(2, "b", 5, "c", S("x\n")), ERR_INVALID, "has 4 lines");
    applied(file, lines_edit(2, "old", 2, "old", S("  b\n")));
    Edit gone = {.kind = EDIT_DELETE};
    refuse(file, gone, ERR_INVALID, "no place");
}

static void other_texts(void) {
    Arena arena = {0};
    Err err = {0};
    Edit edit = REPLACE("b\n", "B\n", .path = S("a"));
    Place places[2];
    Str out;
    CHECK_OK(edit_locate(S("a\nb\n"), &edit, NULL, &arena, &places[0], &err), err);
    CHECK(!edit_apply(S("a\nb\nc\n"), places, 1, &arena, &out, &err));
    CHECK_INT(err.code, ERR_CONFLICT);
    places[1] = places[0];
    CHECK(!edit_apply(S("a\nb\n"), places, 2, &arena, &out, &err));
    CHECK_INT(err.code, ERR_CONFLICT);
    arena_free(&arena);
}

/* The quote is the window that shares most lines, not the line that looks most like one of them. */
static void closest_window(void) {
    Arena arena = {0};
    Buf file = {0};
    for (int i = 0; i < 40; i++)
        buf_printf(&file, "        value_of_the_longest_line_there_is(%d)\nalpha %d\nbeta %d\n", i, i, i);
    buf_cstr(&file, "first line\nsecond line\nthird line here\nfourth line\n");
    refuse(buf_text(&file),
           REPLACE("first line\nsecond line\nvalue_of_the_longest_line_there_is(x)\nfourth line\n", "x\n"),
           ERR_NOT_FOUND, "third line here");
    buf_free(&file);
    arena_free(&arena);
}

/* ---- random edits in disguise (tests/fakes/edit_scene.h) ---- */

static size_t pick(size_t n) {
    return (size_t)(test_random() % n);
}

static void disguises(void) {
    static const char *const NAMES[] = {"as it is",     "line ends",      "trailing blanks",
                                        "indent added", "indent removed", "outer blanks",
                                        "typographic",  "numbered",       "typos"};
    size_t tried[DISGUISES] = {0}, taken[DISGUISES] = {0};
    for (size_t round = 0; round < ROUNDS; round++) {
        Arena arena = {0};
        Scene s = random_scene(&arena);
        Disguise how = (Disguise)pick(DISGUISES);
        Str file = scene_text(&s, false, &arena), intended = scene_text(&s, true, &arena), result;
        if (how == INDENT_REMOVED && !can_remove_indent(&s))
            how = INDENT_ADDED;
        Edit edit = disguised_edit(&s, how, &arena);
        Place place;
        Err err = {0};
        tried[how]++;
        bool ok = run(file, &edit, NULL, &arena, &place, &result, &err);
        CHECK(ok || err.code != ERR_NONE);
        if (ok && !place.already_applied) {
            taken[how]++;
            CHECK_MSG(is_intended(&s, result, intended),
                      "%s, level %d:\nfile\n<<%.*s>>\nold\n<<%.*s>>\nnew\n<<%.*s>>\nresult\n<<%.*s>>",
                      NAMES[how], place.level, STR_ARG(file), STR_ARG(edit.old_text), STR_ARG(edit.new_text),
                      STR_ARG(result));
        }
        arena_free(&arena);
    }
    for (size_t i = 0; i < DISGUISES; i++)
        CHECK_MSG(tried[i] > 100 && taken[i] * 10 >= tried[i] * (i == TYPOS ? 1 : 9),
                  "%s: %zu of %zu were taken", NAMES[i], taken[i], tried[i]);
}

static void random_whole_files(void) {
    for (size_t round = 0; round < ROUNDS / 3; round++) {
        Arena arena = {0};
        Scene s = random_scene(&arena), lf;
        Str file = scene_text(&s, false, &arena), intended = scene_text(&s, true, &arena), result;
        lf = s;
        lf.has_crlf = lf.has_mark = false;
        lf.has_end = true;
        EditHelp help = {.may_shrink = true};
        Edit edit = {.kind = EDIT_WHOLE, .path = S("a"), .new_text = scene_text(&lf, true, &arena)};
        Place place;
        Err err = {0};
        CHECK_OK(run(file, &edit, &help, &arena, &place, &result, &err), err);
        bool was_cut = !s.has_end && s.last == s.count && s.new_count == 0 && s.first > 0;
        if (was_cut) /* the end of the file goes: its new end is without a line end too */
            intended.len -= s.has_crlf ? 2 : 1;
        CHECK_STR(result, intended);
        CHECK(place.already_applied == str_eq(file, intended));
        arena_free(&arena);
    }
}

static void random_numbered_lines(void) {
    for (size_t round = 0; round < ROUNDS / 3; round++) {
        Arena arena = {0};
        Scene s = random_scene(&arena);
        s.has_mark = false;
        Str file = scene_text(&s, false, &arena), intended = scene_text(&s, true, &arena), result;
        Scene lf = s;
        lf.has_crlf = false;
        Edit edit = disguised_edit(&lf, OTHER_LINE_ENDS, &arena);
        edit.kind = EDIT_LINES;
        edit.first_line = s.first + 1;
        edit.last_line = s.last;
        edit.first_hash = edit_line_hash(s.lines[s.first]);
        edit.last_hash = edit_line_hash(s.lines[s.last - 1]);
        Place place;
        Err err = {0};
        CHECK_OK(run(file, &edit, NULL, &arena, &place, &result, &err), err);
        CHECK_STR(result, intended);
        edit.first_hash ^= 1;
        CHECK(!run(file, &edit, NULL, &arena, &place, &result, &err) || place.already_applied);
        arena_free(&arena);
    }
}

/* Too long to align as a whole: the part that shares most lines is aligned. A second such part is a refusal.
 */
static void long_files(void) {
    enum { LINES = 100000, FIRST = 60000, SHOWN = 50 };
    Arena arena = {0};
    Buf file = {0}, old = {0}, new = {0}, intended = {0};
    for (int i = 0; i < LINES; i++) {
        Str line = str_printf(&arena, "    %016llx = %016llx;\n", (unsigned long long)test_random(),
                              (unsigned long long)test_random());
        bool is_shown = i >= FIRST && i < FIRST + SHOWN, is_changed = i == FIRST + 20;
        buf_str(&file, line);
        buf_str(&intended, is_changed ? S("    changed;\n") : line);
        if (is_shown && i % 10 == 5)
            line = str_concat(&arena, str_slice(line, 0, 20), str_from(line, 21)); /* a slip: "x= y" */
        if (is_shown) {
            buf_str(&old, line);
            buf_str(&new, is_changed ? S("    changed;\n") : line);
        }
    }
    Edit edit = {.path = S("a"), .old_text = buf_text(&old), .new_text = buf_text(&new)};
    Place place;
    Err err = {0};
    Str result;
    CHECK_OK(run(buf_text(&file), &edit, NULL, &arena, &place, &result, &err), err);
    CHECK_INT(place.level, MATCH_SIMILAR);
    CHECK(str_eq(result, buf_text(&intended)));
    buf_str(&file, str_copy(&arena, buf_text(&file)));
    CHECK(!run(buf_text(&file), &edit, NULL, &arena, &place, &result, &err));
    buf_free(&file);
    buf_free(&old);
    buf_free(&new);
    buf_free(&intended);
    arena_free(&arena);
}

static const TestCase CASES[] = {{"line_hints", line_hints},
                                 {"scope_hints", scope_hints},
                                 {"file_ends", file_ends},
                                 {"conflicts", conflicts},
                                 {"whole_files", whole_files},
                                 {"symbols", symbols},
                                 {"numbered_lines", numbered_lines},
                                 {"other_texts", other_texts},
                                 {"closest_window", closest_window},
                                 {"long_files", long_files},
                                 {"disguises", disguises},
                                 {"random_whole_files", random_whole_files},
                                 {"random_numbered_lines", random_numbered_lines}};
TEST_SUITE(DIFF_EDIT_LOCATE_SUITE, "edit_locate", CASES);
