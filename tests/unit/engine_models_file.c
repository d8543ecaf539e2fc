/* The user's list of models: what it may say, what a mistake in it costs, and how its models show up. */
#include "engine/models_file.h"

#include <string.h>

#include "base/os.h"
#include "tests/runner.h"
#include "tests/unit/engine_support.h"

static void read_good(Arena *arena, const char *text, ModelsFile *out) {
    Err err = {0};
    CHECK_OK(models_file_parse(str_of(text), S("/etc/mux/models.yaml"), S("/home/me"), arena, out, &err),
             err);
}

static void a_list_and_a_table_say_the_same(void) {
    Arena arena = {0};
    ModelsFile list, table;
    read_good(
        &arena,
        "# mine\nmodels:\n  - name: big\n    path: sub/big.gguf\n    context: 16384\n    style: labels\n"
        "    thinking: off\n    description: \"for large changes\"\n"
        "  - {path: ~/small.gguf, name: small, thinking: on, style: full}\n"
        "  - name: other\n    path: script:r.txt\n",
        &list);
    read_good(&arena,
              "models:\n  big: {path: sub/big.gguf, context: 16384, style: labels, thinking: off,\n"
              "        description: for large changes}\n"
              "  small:\n    path: ~/small.gguf\n    style: full\n  other: script:r.txt\n",
              &table);
    const ModelsFile *files[] = {&list, &table};
    for (size_t f = 0; f < 2; f++) {
        const ModelEntry *items = files[f]->items;
        CHECK_INT(files[f]->count, 3);
        CHECK_INT(files[f]->warning_count, 0);
        CHECK_STR(items[0].name, S("big"));
        CHECK_STR(items[0].path, S("/etc/mux/sub/big.gguf"));
        CHECK_INT(items[0].context, 16384);
        CHECK(items[0].has_style && items[0].is_labels && items[0].is_terse);
        CHECK_STR(items[0].description, S("for large changes"));
        CHECK_STR(items[1].path, S("/home/me/small.gguf"));
        CHECK(items[1].has_style && !items[1].is_labels && !items[1].is_terse && items[1].context == 0);
        CHECK_STR(items[2].path, S("script:/etc/mux/r.txt"));
        CHECK(!items[2].has_style && items[2].description.len == 0);
    }
    arena_free(&arena);
}

static void nothing_in_it_is_no_mistake(void) {
    static const char *const TEXTS[] = {"", "\n", "# only a comment\n", "---\n", "models:\n", "models: []\n"};
    Arena arena = {0};
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        ModelsFile file;
        read_good(&arena, TEXTS[i], &file);
        CHECK_INT(file.count, 0);
        CHECK_INT(file.warning_count, 0);
    }
    arena_free(&arena);
}

/* Each leaves one good model, named good, and one warning with its line. */
static void a_wrong_entry_is_left_out(void) {
    static const struct {
        const char *text, *warning;
    } BAD[] = {
        {"models:\n- {name: good, path: /g}\n- {name: bad}\n", ":3: \"bad\" has no path"},
        {"models:\n- {name: good, path: /g}\n- {path: /x}\n", ":3: \"\" is a model without a name"},
        {"models:\n- {name: good, path: /g}\n- {name: bad, path: /b,\n   context: many}\n",
         ":4: \"many\" is no number of tokens"},
        {"models:\n- {name: good, path: /g}\n- {name: bad, path: /b, context: 0}\n",
         ":3: \"0\" is no number of tokens"},
        {"models:\n- {name: good, path: /g}\n- {name: bad, path: /b, context: 12345678901}\n",
         ":3: \"12345678901\" is no number of tokens"},
        {"models:\n- {name: good, path: /g}\n- {name: bad, path: /b, style: fancy}\n",
         ":3: \"fancy\" must be full or labels"},
        {"models:\n- {name: good, path: /g}\n- {name: bad, path: /b, thinking: maybe}\n",
         ":3: \"maybe\" must be on or off"},
        {"models:\n- {name: good, path: /g}\n- {name: \"a\\0b\", path: /b}\n", "is no name for a model"},
        {"models:\n- {name: good, path: /g}\n- {name: bad, path: \"\"}\n", ":3: \"\" is no path"},
        {"models:\n- {name: good, path: /g}\n- {name: bad, path: [/a, /b]}\n",
         ":3: \"path\" takes a single value"},
        {"models:\n- {name: good, path: /g}\n- just text\n",
         ":3: \"just text\" is no model: give it a name and a path"},
        {"models:\n- {name: good, path: /g}\n- {name: good, path: /h}\n",
         ":3: \"good\" is named twice; the first one counts"},
        {"models:\n- {name: good, path: /g, colour: red}\n",
         ":2: \"colour\" is no key of a model; it is skipped"},
        {"version: {a: [1, {b: c}]}\nmodels:\n- {name: good, path: /g}\n",
         ":1: \"version\" is not known here; it is skipped"},
        {"models: {good: /g, bad: [1]}\n", ":1: \"\" is no model: give it a name and a path"},
    };
    Arena arena = {0};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        ModelsFile file;
        read_good(&arena, BAD[i].text, &file);
        CHECK_MSG(file.count == 1 && str_eq(file.items[0].name, S("good")), "case %zu", i);
        CHECK_MSG(file.warning_count == 1 && str_ends(file.warnings[0], str_of(BAD[i].warning)),
                  "case %zu: %.*s", i, STR_ARG(file.warning_count ? file.warnings[0] : S("no warning")));
    }
    arena_free(&arena);
}

static void what_is_no_list_is_refused(void) {
    static const struct {
        const char *text, *problem;
    } BAD[] = {
        {"- a\n- b\n", "models.yaml:1: this is no mapping"},
        {"just text", "models.yaml:1: this is no mapping"},
        {"models: 7\n", "models.yaml:1: models must be a list"},
        {"models:\n  - name: a\n path: b\n", "models.yaml:3: "},
        {"models: [\n", "models.yaml:2: "},
        {"a: \"\\q\"\n", "models.yaml:1: "},
        {"models: &a [*a\n", "models.yaml:2: "},
        {"a: \xff\xff", "models.yaml:1: "},
    };
    Arena arena = {0};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        Err err = {0};
        ModelsFile file;
        CHECK(!models_file_parse(str_of(BAD[i].text), S("models.yaml"), S(""), &arena, &file, &err));
        CHECK_INT(err.code, ERR_INVALID);
        CHECK_MSG(str_starts(str_of(err.text), str_of(BAD[i].problem)), "case %zu: %s", i, err.text);
        CHECK_INT(file.count, 0);
    }
    arena_free(&arena);
}

static void its_size_is_bounded(void) {
    Arena arena = {0};
    Buf text = {0};
    Err err = {0};
    ModelsFile file;
    buf_cstr(&text, "models: {m: ");
    for (int i = 0; i < 100000; i++)
        buf_char(&text, '[');
    CHECK(!models_file_parse(buf_text(&text), S("f"), S(""), &arena, &file, &err));
    CHECK_STR(str_of(err.text), S("f:1: this is nested too deeply"));
    buf_clear(&text);
    buf_cstr(&text, "models:\n");
    for (int i = 0; i < MODELS_FILE_MAX_MODELS + 1; i++)
        buf_printf(&text, "  m%d: /m%d\n", i, i);
    CHECK(!models_file_parse(buf_text(&text), S("f"), S(""), &arena, &file, &err));
    CHECK_STR(str_of(err.text), S("f:502: there are more than 500 models"));
    buf_clear(&text);
    for (size_t i = 0; i <= MODELS_FILE_MAX_BYTES; i++)
        buf_char(&text, '#');
    CHECK(!models_file_parse(buf_text(&text), S("f"), S(""), &arena, &file, &err));
    CHECK_INT(err.code, ERR_LIMIT);
    buf_free(&text);
    arena_free(&arena);
}

/* ---- in the registry ---- */

static Engine *engine_with(Arena *arena, const char *text, Str models_dir) {
    Err err = {0};
    Str path = str_printf(arena, "%s/models.yaml", test_tmp());
    CHECK_OK(os_write_file(path.ptr, str_of(text), &err), err);
    Engine *engine = engine_open(
        &(EngineConfig){.models_file = path, .models_dir = models_dir, .backend = S("ref")}, &err);
    CHECK_OK(engine != NULL, err);
    return engine;
}

static void its_models_are_registered(void) {
    static const FakeModel SMALL = {.arch = "qwen2", .type = DTYPE_Q8_0, .seed = 5};
    Arena arena = {0};
    Err err = {0};
    const ModelCard *cards;
    const Str *warnings;
    fake_model_file(&arena, &SMALL); /* qwen2-Q8_0.gguf in the same folder, which is scanned too */
    Engine *engine =
        engine_with(&arena,
                    "models:\n- {name: mine, path: qwen2-Q8_0.gguf, context: 64, style: labels,\n"
                    "   description: the small one}\n"
                    "- {name: said, path: 'script:replies.txt', thinking: off}\n"
                    "- {name: gone, path: /nonexistent.gguf}\n- {name: echo, path: /x.gguf}\n",
                    str_of(test_tmp()));
    CHECK_INT(engine_models(engine, &cards), 5);
    CHECK_STR(cards[2].name, S("mine"));
    CHECK_STR(cards[2].description, S("the small one"));
    CHECK_STR(cards[2].architecture, S("qwen2"));
    CHECK(cards[2].style == PROMPT_LABELS);
    CHECK(cards[3].is_scripted && cards[3].is_terse);
    CHECK_STR(cards[4].name, S("gone"));
    CHECK_INT(engine_warnings(engine, &warnings), 1);
    CHECK_MSG(str_ends(warnings[0], S("the name \"echo\" is taken by a built-in model")), "%s",
              warnings[0].ptr);
    Chat *chat = fake_chat(engine, S("mine"));
    CHECK_INT(chat_context(chat), 64);
    chat_close(chat);
    CHECK(!chat_open(engine, S("gone"), &err));
    engine_close(engine);
    arena_free(&arena);
}

static void a_bad_file_leaves_the_others(void) {
    Arena arena = {0};
    const ModelCard *cards;
    const Str *warnings;
    Engine *engine = engine_with(&arena, "models: [\n", S(""));
    CHECK_INT(engine_models(engine, &cards), 2);
    CHECK_INT(engine_warnings(engine, &warnings), 1);
    CHECK_MSG(str_contains(warnings[0], S("models.yaml:2: ")), "%s", warnings[0].ptr);
    engine_close(engine);
    Err err = {0};
    engine = engine_open(&(EngineConfig){.models_file = S("/nonexistent/models.yaml")}, &err);
    CHECK_INT(engine_warnings(engine, &warnings), 0);
    engine_close(engine);
    arena_free(&arena);
}

static const TestCase CASES[] = {
    {"a list and a table say the same", a_list_and_a_table_say_the_same},
    {"nothing in it is no mistake", nothing_in_it_is_no_mistake},
    {"a wrong entry is left out", a_wrong_entry_is_left_out},
    {"what is no list is refused", what_is_no_list_is_refused},
    {"its size is bounded", its_size_is_bounded},
    {"its models are registered", its_models_are_registered},
    {"a bad file leaves the others", a_bad_file_leaves_the_others},
};
TEST_SUITE(ENGINE_MODELS_FILE_SUITE, "models_file", CASES);
