/* eval-forced MODEL.gguf REQUESTS FILE...: blocks forced from a model with random weights, three files a
 * request, no new files, temperature 1 with seeds 1, 2, ... Every block must parse, stand in its file exactly
 * as written, and apply. */
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "tests/fakes/forced.h"

enum { MOST_FILES = 512, FILES_SHOWN = 3, CONTEXT = 1536, MOST_BYTES = 1 << 20 };

static size_t read_files(char **paths, int count, Arena *arena, GrammarFile *files) {
    size_t n = 0;
    for (int i = 0; i < count && n < MOST_FILES; i++) {
        Err err = {0};
        Str text;
        if (os_read_file(paths[i], MOST_BYTES, arena, &text, &err) && text.len &&
            !memchr(text.ptr, 0, text.len))
            files[n++] = (GrammarFile){str_of(paths[i]), text};
    }
    return n;
}

static int run(Chat *chat, const GrammarFile *files, size_t file_count, uint64_t requests) {
    ForcedCount count = {0};
    size_t failed = 0;
    for (uint64_t seed = 1; seed <= requests; seed++) {
        GrammarFile shown[FILES_SHOWN];
        size_t n = file_count < FILES_SHOWN ? file_count : FILES_SHOWN;
        for (size_t i = 0; i < n; i++)
            shown[i] = files[(seed * 7 + i * (file_count / n)) % file_count];
        Arena arena = {0};
        Err err = {0};
        Str prompt = str_printf(&arena, "Request %llu: change %.*s.", (unsigned long long)seed,
                                STR_ARG(shown[0].path));
        if (!forced_ask(chat, (ForcedTree){shown, n}, prompt, seed, false, &count, &err)) {
            fprintf(stderr, "request %llu: %s\n", (unsigned long long)seed, err.text);
            failed++;
        }
        arena_free(&arena);
    }
    printf(
        "requests %zu, replies that ended %zu, replies lost %zu\n"
        "edits emitted %zu, found exactly %zu, applied %zu (escaped %zu); files built %zu, not built %zu\n",
        count.requests, count.ended, failed, count.emitted, count.exact, count.applied, count.escaped,
        count.built, count.unbuilt);
    if (count.first_problem.text[0])
        fprintf(stderr, "first problem: %s\n", count.first_problem.text);
    return failed || count.exact != count.emitted || count.applied != count.emitted || count.unbuilt;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: eval-forced MODEL.gguf REQUESTS FILE...\n");
        return 2;
    }
    static GrammarFile files[MOST_FILES];
    Arena arena = {0};
    Err err = {0};
    int status = 3;
    size_t count = read_files(argv + 3, argc - 3, &arena, files);
    Engine *engine = engine_open(
        &(EngineConfig){.default_model = str_of(argv[1]), .threads = 1, .context = CONTEXT}, &err);
    Chat *chat = engine ? chat_open(engine, S(""), &err) : NULL;
    if (chat && count)
        status = run(chat, files, count, strtoull(argv[2], NULL, 10));
    else
        fprintf(stderr, "%s\n", chat ? "no file can be used" : err.text);
    chat_close(chat);
    engine_close(engine);
    arena_free(&arena);
    return status;
}
