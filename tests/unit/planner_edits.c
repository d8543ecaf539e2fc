/* Turns whose replies hold edits of every kind and form, on a real folder with the scripted model. */
#include <stdio.h>
#include <string.h>

#include "base/os.h"
#include "planner/blocks_take.h"
#include "planner/planner.h"
#include "tests/runner.h"

typedef struct Room {
    Arena arena;
    Engine *engine;
    Planner *planner;
    Session *session;
    Str folder;
    Buf text, problems;
    bool was_applied;
} Room;

static void on_event(void *ctx, const TurnEvent *event) {
    Room *r = ctx;
    if (event->kind == TURN_TEXT)
        buf_str(&r->text, event->text);
    if (event->kind != TURN_DONE)
        return;
    r->was_applied = event->done->was_applied;
    for (size_t i = 0; i < event->done->problem_count; i++)
        buf_printf(&r->problems, "%.*s\n", STR_ARG(event->done->problems[i]));
    if (event->done->stop == TURN_STOP_FAILED)
        buf_cstr(&r->problems, event->done->error.text);
}

static void put_file(const Room *r, const char *name, const char *text) {
    char path[512];
    Err err = {0};
    snprintf(path, sizeof path, "%.*s/%s", STR_ARG(r->folder), name);
    CHECK_OK(os_write_file(path, str_of(text), &err), err);
}

/* expected NULL: there is no such file. */
static void check_file(Room *r, const char *name, const char *expected) {
    char path[512];
    Str text;
    snprintf(path, sizeof path, "%.*s/%s", STR_ARG(r->folder), name);
    bool is_there = os_read_file(path, 1 << 20, &r->arena, &text, NULL);
    CHECK_MSG(is_there == (expected != NULL), "%s is %s", name, is_there ? "there" : "missing");
    if (expected)
        CHECK_STR(text, str_of(expected));
}

#define A_PY "class Shape:\n    def area(self):\n        return 0\n\n\ndef area():\n    return 0\n"
#define B_PY "x = 1\ny = 2\nx = 1\n"

static Room room_open(const char *script) {
    Room r = {0};
    Err err = {0};
    Str tmp = str_of(test_tmp());
    r.folder = str_printf(&r.arena, "%.*s/project", STR_ARG(tmp));
    CHECK_OK(os_make_dirs(r.folder.ptr, &err), err);
    Str file = str_printf(&r.arena, "%.*s/model.txt", STR_ARG(tmp));
    CHECK_OK(os_write_file(file.ptr, str_of(script), &err), err);
    put_file(&r, "a.py", A_PY);
    put_file(&r, "b.py", B_PY);
    put_file(&r, "c.txt", "one\ntwo\nthree\n");
    EngineConfig config = {.default_model = str_printf(&r.arena, "script:%.*s", STR_ARG(file))};
    r.engine = engine_open(&config, &err);
    CHECK_OK(r.engine != NULL, err);
    r.planner = planner_open(&(PlannerConfig){0}, r.engine, &err);
    SessionConfig session = {.id = S("s"), .cwd = r.folder, .review = REVIEW_AUTO};
    r.session = session_open(r.planner, &session, file_io_disk(), &err);
    CHECK_OK(r.session != NULL, err);
    return r;
}

static void room_turn(Room *r, const char *prompt) {
    Err err = {0};
    Ask ask = {.text = str_of(prompt)};
    CHECK_OK(turn_start(r->session, &ask, (TurnSink){r, on_event}, &err), err);
    turn_wait(r->session);
}

static void room_close(Room *r) {
    session_close(r->session);
    planner_close(r->planner);
    engine_close(r->engine);
    buf_free(&r->text);
    buf_free(&r->problems);
    arena_free(&r->arena);
}

static void check_applied(const Room *r) {
    CHECK_MSG(r->was_applied, "%.*s", STR_ARG(buf_text(&r->problems)));
}

static void check_refused(Room *r, const char *words) {
    CHECK(!r->was_applied);
    CHECK_MSG(str_contains(buf_text(&r->problems), str_of(words)), "%.*s", STR_ARG(buf_text(&r->problems)));
    check_file(r, "a.py", A_PY);
    check_file(r, "b.py", B_PY);
    check_file(r, "c.txt", "one\ntwo\nthree\n");
}

#define BLOCK(path, old, new) path "\n<<<<<<< SEARCH\n" old "=======\n" new ">>>>>>> REPLACE\n"
#define PATCH(body) "*** Begin Patch\n" body "*** End Patch\n"

static void envelope(void) {
    Room r = room_open("--- reply\nI tidy up.\n\n" PATCH(
        "*** Update File: a.py\n@@ class Shape:\n     def area(self):\n-        return "
        "0\n+        return 1\n*** Add File: lib/new.py\n+z = 1\n*** Delete File: "
        "c.txt\n*** Update File: b.py\n*** Move to: lib/b.py\n@@\n-y = 2\n+y = 3\n"));
    room_turn(&r, "delete c.txt, move b.py, change a.py");
    check_applied(&r);
    check_file(&r, "a.py",
               "class Shape:\n    def area(self):\n        return 1\n\n\ndef area():\n    return 0\n");
    check_file(&r, "lib/new.py", "z = 1\n");
    check_file(&r, "c.txt", NULL);
    check_file(&r, "b.py", NULL);
    check_file(&r, "lib/b.py", "x = 1\ny = 3\nx = 1\n");
    CHECK(str_contains(buf_text(&r.text), S("I tidy up.")));
    CHECK(!str_contains(buf_text(&r.text), S("***")));
    room_close(&r);
}

static void forms_in_one_reply(void) {
    Room r =
        room_open("--- reply\nFirst:\n\n```python\na.py\n<<<<<<< SYMBOL Shape.area\ndef area(self):\n    "
                  "return 2\n>>>>>>> END\n```\n\nc.txt\n```\none\n2\nthree\n```\n\n```diff\n@@ -3 +3 "
                  "@@\n-x = 1\n+x = 9\n```\n\n");
    room_turn(&r, "change things");
    CHECK(!r.was_applied); /* the diff says no file */
    room_close(&r);
    r = room_open(
        "--- reply\nFirst:\n\n```python\na.py\n<<<<<<< SYMBOL Shape.area\ndef area(self):\n    return "
        "2\n>>>>>>> END\n```\n\nc.txt\n```\none\n2\nthree\n```\n\nThe rest:\n\n`b.py`\n```diff\n@@ -1 "
        "+1 @@\n-x = 1\n+x = 9\n y = 2\n```\nDone.\n");
    room_turn(&r, "change things");
    check_applied(&r);
    check_file(&r, "a.py",
               "class Shape:\n    def area(self):\n        return 2\n\n\ndef area():\n    return 0\n");
    check_file(&r, "c.txt", "one\n2\nthree\n");
    check_file(&r, "b.py", "x = 9\ny = 2\nx = 1\n");
    Str text = buf_text(&r.text);
    CHECK(str_contains(text, S("First:")) && str_contains(text, S("The rest:")) &&
          str_contains(text, S("Done.")));
    CHECK_MSG(!str_contains(text, S("```")) && !str_contains(text, S("<<<<")), "%.*s", STR_ARG(text));
    room_close(&r);
}

/* A path read out of a sentence counts when there is such a file; thinking in channels is not obeyed. */
static void paths_in_sentences(void) {
    Room r = room_open("--- reply repeat\n<|channel|>analysis<|message|>Draft:\n" BLOCK(
        "b.py", "y = 2\n",
        "y = 9\n") "<|start|>assistant<|channel|>final<|message|>Now:\n" BLOCK("b.py", "y = 2\n",
                                                                               "y = 3\n") "Then the `self.x` "
                                                                                          "call and/or "
                                                                                          "more:\n" BLOCK(
                                                                                              "",
                                                                                              "x "
                                                                                              "= "
                                                                                              "1"
                                                                                              "\n"
                                                                                              "y "
                                                                                              "= "
                                                                                              "2"
                                                                                              "\n",
                                                                                              "x "
                                                                                              "= "
                                                                                              "0"
                                                                                              "\n"
                                                                                              "y "
                                                                                              "= "
                                                                                              "2"
                                                                                              "\n") "And in "
                                                                                                    "`c.txt`:"
                                                                                                    "\n" BLOCK(
                                                                                                        "",
                                                                                                        "two"
                                                                                                        "\n",
                                                                                                        "2"
                                                                                                        "\n"));
    room_turn(&r, "change things");
    check_refused(&r, "two edits change the same text"); /* both are of b.py */
    CHECK(!str_contains(buf_text(&r.text), S("Draft")));
    room_close(&r);
    r = room_open("--- reply\n" BLOCK("c.txt", "one\n", "1\n") "Then the `self.x` call:\n" BLOCK(
        "", "two\n", "2\n") "And in `b.py`:\n" BLOCK("", "y = 2\n", "y = 3\n"));
    room_turn(&r, "change things");
    check_applied(&r);
    check_file(&r, "b.py", "x = 1\ny = 3\nx = 1\n");
    check_file(&r, "c.txt", "1\n2\nthree\n");
    room_close(&r);
}

/* A block that changes what a block above it wrote. */
static void blocks_on_blocks(void) {
    Room r = room_open("--- reply\n" BLOCK("c.txt", "one\n", "zero\nnull\none\n")
                           BLOCK("c.txt", "three\n", "3\n") BLOCK("c.txt", "zero\nnull\n", "zero\nnil\n"));
    room_turn(&r, "change things");
    check_applied(&r);
    check_file(&r, "c.txt", "zero\nnil\none\ntwo\n3\n");
    room_close(&r);
    /* it reaches beyond what was written there */
    r = room_open("--- reply repeat\n" BLOCK("c.txt", "one\n", "zero\n")
                      BLOCK("c.txt", "zero\ntwo\n", "2\n"));
    room_turn(&r, "change things");
    check_refused(&r, "not in the file");
    room_close(&r);
}

static void refusals(void) {
    static const struct {
        const char *script, *words;
    } CASES[] = {
        {"--- reply repeat\n" PATCH("*** Delete File: b.py\n") BLOCK("b.py", "y = 2\n", "y = 3\n"),
         "deleted or moved and changed otherwise"},
        {"--- reply repeat\nc.txt\n```\none\n```\n" BLOCK("c.txt", "two\n", "2\n"), "lacks 2 of its lines"},
        {"--- reply repeat\nc.txt\n```\none\n2\nthree\n```\n" BLOCK("c.txt", "three\n", "3\n"),
         "given whole and changed otherwise"},
        {"--- reply repeat\n" PATCH("*** Update File: b.py\n*** Move to: a.py\n"), "exists already"},
        {"--- reply repeat\n" PATCH("*** Update File: b.py\n*** Move to: n.py\n*** Update File: c.txt\n*** "
                                    "Move to: n.py\n"),
         "another edit makes too"},
        {"--- reply repeat\n" PATCH("*** Update File: b.py\n*** Move to: n.py\n*** Add File: n.py\n+q\n"),
         "another edit makes too"},
        {"--- reply repeat\n" PATCH("*** Delete File: nothing.py\n"), "no file nothing.py"},
        {"--- reply repeat\n" PATCH("*** Update File: b.py\n@@\n-x = 1\n+x = 3\n"), "lines 1, 3"},
        {"--- reply repeat\na.py\n<<<<<<< SYMBOL nothing\nx\n>>>>>>> END\n", "no definition of nothing"},
        {"--- reply repeat\na.py\n<<<<<<< SYMBOL area\nx\n>>>>>>> END\n", "lines 2, 6"},
        {"--- reply repeat\n../x.py\n```\nevil\n```\n", "x.py"},
        {"--- reply repeat\n" PATCH("*** Update File: b.py\n*** Move to: ../n.py\n"), "n.py"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Room r = room_open(CASES[i].script);
        room_turn(&r, "change everything");
        check_refused(&r, CASES[i].words);
        room_close(&r);
    }
}

/* What fitted is kept and named; the second reply holds only what failed. */
static void keeps_what_fits(void) {
    Room r = room_open("--- reply\n" BLOCK("b.py", "y = 2\n", "y = 3\n") BLOCK(
        "c.txt", "tvo\nthree\n",
        "2\n3\n") "--- reply when: - b.py, lines 2 to 2\n" BLOCK("c.txt", "two\nthree\n", "2\n3\n"));
    room_turn(&r, "change b.py and c.txt");
    check_applied(&r);
    check_file(&r, "b.py", "x = 1\ny = 3\nx = 1\n");
    check_file(&r, "c.txt", "one\n2\n3\n");
    room_close(&r);
}

/* A second reply that sends everything again: the newer edit of the same lines counts. */
static void newer_edit_counts(void) {
    Room r =
        room_open("--- reply\n" BLOCK("b.py", "y = 2\n", "y = 3\n")
                      BLOCK("c.txt", "no\nsuch\n", "2\n") "--- reply\n" BLOCK("b.py", "y = 2\n", "y = 4\n")
                          BLOCK("c.txt", "two\n", "2\n"));
    room_turn(&r, "change b.py and c.txt");
    check_applied(&r);
    check_file(&r, "b.py", "x = 1\ny = 4\nx = 1\n");
    check_file(&r, "c.txt", "one\n2\nthree\n");
    room_close(&r);
}

/* A file that fails twice: its definition by name, and where that fails too, or nothing is known of
 * definitions, the whole file. */
static void easier_forms(void) {
#define BAD(path) "--- reply\n" BLOCK(path, "nothing of the kind(1)\nnor this\n", "x\n")
    Room r = room_open(BAD("a.py") BAD("a.py") "--- reply when: <<<<<<< SYMBOL name\na.py\n<<<<<<< SYMBOL "
                                               "Shape.area\ndef area(self):\n    return 5\n>>>>>>> END\n");
    room_turn(&r, "change a.py");
    check_applied(&r);
    check_file(&r, "a.py",
               "class Shape:\n    def area(self):\n        return 5\n\n\ndef area():\n    return 0\n");
    room_close(&r);
    r = room_open(BAD("a.py") BAD("a.py") BAD("a.py") "--- reply when: the whole file\na.py\n````python\nx = "
                                                      "1\ny = 2\nz = 3\nw = 4\n````\n");
    room_turn(&r, "change a.py");
    check_applied(&r);
    check_file(&r, "a.py", "x = 1\ny = 2\nz = 3\nw = 4\n");
    room_close(&r);
    r = room_open(BAD("c.txt")
                      BAD("c.txt") "--- reply when: the whole file\nc.txt\n````\none\n2\nthree\n````\n");
    room_turn(&r, "change c.txt");
    check_applied(&r);
    check_file(&r, "c.txt", "one\n2\nthree\n");
    room_close(&r);
}

/* ---- names of definitions ---- */

static size_t found(Language language, const char *text, const char *name, TextRange *out) {
    FileWork file = {.language = language};
    return take_find_symbol(&file, str_of(text), str_of(name), out, 4);
}

static void symbol_names(void) {
    TextRange r[4];
    const char *python =
        "class A:\n    @cached\n    def f(self):\n        pass\n\n\nclass B:\n    def f(self):\n"
        "        pass\n";
    CHECK_INT(found(LANGUAGE_PYTHON, python, "f", r), 2);
    CHECK_INT(found(LANGUAGE_PYTHON, python, "A.f", r), 1);
    CHECK_STR(str_slice(str_of(python), r[0].begin, r[0].end),
              S("    @cached\n    def f(self):\n        pass\n"));
    CHECK_INT(found(LANGUAGE_PYTHON, python, "B::f", r), 1);
    CHECK_INT(found(LANGUAGE_PYTHON, python, "C.f", r), 0);
    CHECK_INT(found(LANGUAGE_PYTHON, python, "A", r), 1);
    const char *cpp = "struct A {\n    void f();\n};\nvoid A::f() {\n}\nvoid B::f() {\n}\n";
    CHECK_INT(found(LANGUAGE_CPP, cpp, "A::f", r), 1);
    CHECK_STR(str_slice(str_of(cpp), r[0].begin, r[0].end), S("void A::f() {\n}\n"));
    const char *go = "package x\n\nfunc (a *A) F() {\n}\n\nfunc (b B) F() {\n}\n";
    CHECK_INT(found(LANGUAGE_GO, go, "A.F", r), 1);
    CHECK_STR(str_slice(str_of(go), r[0].begin, r[0].end), S("func (a *A) F() {\n}\n"));
    CHECK_INT(found(LANGUAGE_C, "int f(void);\nint f(void) {\n    return 1;\n}", "f", r), 1);
    CHECK_INT(r[0].begin, 13);
}

static const TestCase CASES[] = {{"envelope", envelope},
                                 {"forms_in_one_reply", forms_in_one_reply},
                                 {"paths_in_sentences", paths_in_sentences},
                                 {"blocks_on_blocks", blocks_on_blocks},
                                 {"refusals", refusals},
                                 {"keeps_what_fits", keeps_what_fits},
                                 {"newer_edit_counts", newer_edit_counts},
                                 {"easier_forms", easier_forms},
                                 {"symbol_names", symbol_names}};
TEST_SUITE(PLANNER_EDITS_SUITE, "edits", CASES);
