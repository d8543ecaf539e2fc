/* The user's list of models from arbitrary bytes: every model it yields has a name and an absolute path,
 * every complaint is a sentence, and it never crashes. */
#include <stdint.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "engine/models_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Arena arena = {0};
    ModelsFile file;
    Err err = {0};
    Str text = {(const char *)data, size};
    bool ok = models_file_parse(text, S("/home/me/models.yaml"), S("/home/me"), &arena, &file, &err);
    must(ok ? err.code == ERR_NONE : err.code != ERR_NONE && err.text[0] && file.count == 0);
    must(file.count <= MODELS_FILE_MAX_MODELS);
    for (size_t i = 0; i < file.count; i++) {
        const ModelEntry *entry = &file.items[i];
        must(entry->name.len && utf8_valid(entry->name) && utf8_valid(entry->path));
        must(str_starts(entry->path, S("/")) || str_starts(entry->path, S("script:/")));
        must(utf8_valid(entry->description) || entry->description.len == 2000);
        for (size_t j = 0; j < i; j++)
            must(!str_eq(entry->name, file.items[j].name));
    }
    for (size_t i = 0; i < file.warning_count; i++)
        must(file.warnings[i].len > 0);
    arena_free(&arena);
    return 0;
}
