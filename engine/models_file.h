/* Models file: the user's own list of models, in YAML.
 *
 *   models:
 *     - name: big              # as it is chosen
 *       path: big-q4.gguf      # relative to this file's folder; ~ is the home folder; script:FILE works too
 *       context: 16384         # most tokens of a conversation
 *       style: full            # or labels; what the file says by default
 *       thinking: off          # it never thinks; on, as usual: it can be chosen
 *       description: for large changes
 *
 * or, shorter, `models: {big: {path: big-q4.gguf}, small: ~/models/small.gguf}`. What an entry says wrong
 * makes a warning with its line and leaves that entry out; keys that nobody knows make a warning. Bounded: 1
 * MiB, 500 models. Pure but for models_file_read.
 */
#ifndef MUX_ENGINE_MODELS_FILE_H
#define MUX_ENGINE_MODELS_FILE_H

#include "base/err.h"
#include "base/str.h"

#define MODELS_FILE_MAX_BYTES ((size_t)1 << 20)
#define MODELS_FILE_MAX_MODELS 500

typedef struct ModelEntry {
    Str name, path, description; /* path: absolute, or with script: before it */
    size_t context;              /* 0 = not said */
    bool has_style, is_labels;   /* is_labels: style labels, else full */
    bool is_terse;               /* thinking: off */
} ModelEntry;

typedef struct ModelsFile {
    ModelEntry *items;
    size_t count, capacity;
    Str *warnings; /* "models.yaml:3: ..." */
    size_t warning_count, warning_capacity;
} ModelsFile;

/* path names the file in messages, its folder is where relative paths begin; home may be empty. False: no
 * YAML, or not of this shape; *err says where. Everything lives in the arena. */
bool models_file_parse(Str text, Str path, Str home, Arena *arena, ModelsFile *out, Err *err);
/* ERR_NOT_FOUND when there is none. */
bool models_file_read(Str path, Str home, Arena *arena, ModelsFile *out, Err *err);

#endif
