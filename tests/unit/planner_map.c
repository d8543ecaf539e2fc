/* The ranked map: what comes first, what fits, and that it is the same every time. */
#include <stdio.h>
#include <string.h>

#include "base/os.h"
#include "planner/map.h"
#include "tests/runner.h"

typedef struct Tree {
    Arena arena;
    Str folder;
    Workspace *ws;
    RepositoryMap map;
    Buf text;
} Tree;

static void put(Tree *t, const char *name, const char *text) {
    Err err = {0};
    Str path = str_printf(&t->arena, "%.*s/%s", STR_ARG(t->folder), name);
    Str folder = str_slice(path, 0, str_rfind_char(path, '/'));
    CHECK_OK(os_make_dirs(str_cstr(&t->arena, folder), &err), err);
    CHECK_OK(os_write_file(path.ptr, str_of(text), &err), err);
}

static void begin(Tree *t) {
    Err err = {0};
    *t = (Tree){0};
    t->folder = str_printf(&t->arena, "%s/tree", test_tmp());
    put(t, "core.c",
        "int core_work(int x) {\n    return x;\n}\n\nint core_spare(int x) {\n    return x;\n}\n\n"
        "static int text(int x) {\n    return x;\n}\n");
    put(t, "core.h", "struct CoreState {\n    int a;\n};\nint core_work(int x);\n");
    put(t, "one.c",
        "#include \"core.h\"\nint one_run(void) {\n    int text = 1;\n    return core_work(text);\n}\n");
    put(t, "two.c",
        "int two_run(void) {\n    int text = 2;\n    return core_work(text) + core_work(text);\n}\n");
    put(t, "lib/three.c", "int three_run(struct CoreState *s) {\n    return core_work(s->a);\n}\n");
    put(t, "tool.py",
        "def text(core_spare):\n    return core_spare\n\n\ndef lonely_tool():\n    return text(1)\n");
    put(t, "notes.md", "core_work core_work\n");
    WorkspaceConfig config = {.root = t->folder, .read_only = true};
    t->ws = ws_open(&config, file_io_disk(), &err);
    CHECK_OK(t->ws != NULL, err);
}

static void end(Tree *t) {
    ws_close(t->ws);
    buf_free(&t->text);
    arena_free(&t->arena);
}

static Str build(Tree *t, const MapOptions *options) {
    Err err = {0};
    CHECK_OK(map_build(t->ws, options, &t->arena, &t->map, &err), err);
    buf_clear(&t->text);
    map_print(&t->map, &t->text);
    return buf_text(&t->text);
}

static double score_of(const Tree *t, const char *path) {
    for (size_t i = 0; i < t->map.count; i++)
        if (str_eq(t->map.files[i].path, str_of(path)))
            return t->map.files[i].score;
    return -1;
}

static void test_ranking(void) {
    Tree t;
    begin(&t);
    Str text = build(&t, &(MapOptions){.budget = 2000});
    CHECK(str_starts(text, S("core.c:\n    1: int core_work(int x) {\n")));
    CHECK_INT(t.map.files_read, 6);
    CHECK(score_of(&t, "core.h") > score_of(&t, "one.c"));   /* three.c names its struct */
    CHECK(score_of(&t, "core.h") > score_of(&t, "tool.py")); /* whose words are other words in C */
    CHECK(!str_contains(text, S("int core_work(int x);")));  /* it has a body elsewhere */
    CHECK(!str_contains(text, S("notes.md")));
    end(&t);
}

static void test_budget(void) {
    Tree t;
    begin(&t);
    size_t last = 0;
    for (size_t budget = 1; budget <= 128; budget *= 2) {
        Str text = build(&t, &(MapOptions){.budget = budget});
        CHECK_MSG(text.len <= budget * 4, "%zu bytes for %zu tokens", text.len, budget);
        CHECK(text.len >= last);
        last = text.len;
    }
    CHECK(last > 0);
    CHECK_STR(build(&t, &(MapOptions){.budget = 11}), S("core.c:\n    1: int core_work(int x) {\n"));
    end(&t);
}

static void test_focus(void) {
    Tree t;
    begin(&t);
    Str three = S("lib");
    build(&t, &(MapOptions){0});
    double plain = score_of(&t, "lib/three.c"), state = score_of(&t, "core.h");
    Str text = build(&t, &(MapOptions){.focus = &three, .focus_count = 1});
    CHECK(score_of(&t, "lib/three.c") > plain);
    CHECK(score_of(&t, "core.h") > state); /* what it refers to comes with it */
    CHECK(str_contains(str_slice(text, 0, 160), S("three_run")));
    Str missing = S("nothing/here");
    build(&t, &(MapOptions){.focus = &missing, .focus_count = 1});
    CHECK(score_of(&t, "lib/three.c") == plain);
    end(&t);
}

static void test_names(void) {
    Tree t;
    begin(&t);
    Str name = S("lonely_tool");
    CHECK(!str_contains(build(&t, &(MapOptions){.budget = 16}), name));
    CHECK(str_contains(build(&t, &(MapOptions){.budget = 16, .names = &name, .name_count = 1}), name));
    end(&t);
}

/* The same on every run, in a tree large enough for several threads. */
static void test_same_every_time(void) {
    Tree t;
    begin(&t);
    for (int i = 0; i < 120; i++) {
        char name[32];
        Buf text = {0};
        for (int j = 0; j < 5; j++)
            buf_printf(&text, "int file_%d_part_%d(int x) {\n    return file_%d_part_%d(x);\n}\n", i, j,
                       (int)(test_random() % 120), (int)(test_random() % 5));
        buf_char(&text, 0);
        snprintf(name, sizeof name, "many/m%d.c", i);
        put(&t, name, text.ptr);
        buf_free(&text);
    }
    Str first = str_copy(&t.arena, build(&t, &(MapOptions){.budget = 1000}));
    for (int i = 0; i < 3; i++)
        CHECK_STR(build(&t, &(MapOptions){.budget = 1000}), first);
    CHECK_INT(t.map.files_read, 126);
    end(&t);
}

static void test_cancel_and_odd_files(void) {
    Tree t;
    begin(&t);
    Err err = {0};
    atomic_bool cancelled = true;
    CHECK(!map_build(t.ws, &(MapOptions){.cancelled = &cancelled}, &t.arena, &t.map, &err));
    CHECK_INT(err.code, ERR_CANCELLED);
    put(&t, "odd.c", "int \xff\xfe(((( {\n\x01\x02 struct struct struct\n");
    put(&t, "empty.c", "");
    put(&t, "odd.py", "def def def(:\n\n\n\tclass\n");
    build(&t, &(MapOptions){0});
    CHECK_INT(t.map.files_read, 9);
    end(&t);
}

static void test_empty_tree(void) {
    Tree t = {0};
    Err err = {0};
    t.folder = str_of(test_tmp());
    t.ws = ws_open(&(WorkspaceConfig){.root = t.folder, .read_only = true}, file_io_disk(), &err);
    CHECK_OK(t.ws != NULL, err);
    CHECK_STR(build(&t, &(MapOptions){0}), S(""));
    CHECK_INT(t.map.files_read, 0);
    end(&t);
}

static const TestCase CASES[] = {
    {"what is referred to comes first", test_ranking},
    {"the budget is kept", test_budget},
    {"a focus", test_focus},
    {"names of a request", test_names},
    {"the same every time", test_same_every_time},
    {"cancel, and files that are no code", test_cancel_and_odd_files},
    {"no files at all", test_empty_tree},
};
TEST_SUITE(PLANNER_MAP_SUITE, "map", CASES);
