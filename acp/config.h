/* config: one table of options gives the flags, the environment variables and the help of every command.
 *
 *   Settings s; if (!settings_read(&s, mask, argc, argv, &err)) ...; settings_text(&s, OPT_MODEL)
 * Flags win over the environment, the environment over the defaults. Nothing else in the program reads the
 * environment.
 */
#ifndef MUX_ACP_CONFIG_H
#define MUX_ACP_CONFIG_H

#include <stdio.h>

#include "base/err.h"
#include "base/str.h"

typedef enum OptionId {
    OPT_HELP,
    OPT_VERSION,
    OPT_MODEL,
    OPT_MODELS_DIR,
    OPT_TINY,
    OPT_BACKEND,
    OPT_DEVICE,
    OPT_KV,
    OPT_GPU_OPTIONS,
    OPT_THREADS,
    OPT_CONTEXT,
    OPT_LOG,
    OPT_LOG_FORMAT,
    OPT_REVIEW,
    OPT_GRAIN,
    OPT_NO_THINKING,
    OPT_STATE_DIR,
    OPT_CLIENT_TIMEOUT,
    OPT_MAX_REQUESTS,
    OPT_MODELS_FILE,
    OPT_RECORD,
    OPT_REPLAY,
    OPT_CWD,
    OPT_APPLY,
    OPT_DRY_RUN,
    OPT_HUNKS,
    OPT_JSON,
    OPT_VERBOSE,
    OPT_ROOT,
    OPT_STRIP,
    OPT_CHECK,
    OPT_REVERSE,
    OPT_RECOUNT,
    OPT_UNIDIFF_ZERO,
    OPT_IGNORE_WHITESPACE,
    OPT_TOLERANT,
    OPT_FUZZ,
    OPT_LEAST_CONTEXT,
    OPT_UNIFIED,
    OPT_BINARY,
    OPT_NO_RENAMES,
    OPT_BACKUP_COUNT,
    OPT_BACKUP_DAYS,
    OPT_BACKUP_MIB,
    OPT_FIXED,
    OPT_IGNORE_CASE,
    OPT_WORD,
    OPT_MOST,
    OPT_PROMPT,
    OPT_TOKENS,
    OPT_NUMBER,
    OPT_TEMPERATURE,
    OPT_TOP_K,
    OPT_TOP_P,
    OPT_MIN_P,
    OPT_SEED,
    OPT_LOGPROBS,
    OPT_LOGITS_FILE,
    OPT_SPECIAL,
    OPT_PROMPT_SIZE,
    OPT_REPS,
    OPT_SYNTHETIC,
    OPT_BUDGET,
    OPT_FOCUS,
    OPT_COUNT
} OptionId;

#define OPTION(id) (UINT64_C(1) << OPT_##id)
/* What every command that uses a model takes. */
#define OPTIONS_ENGINE                                                                                       \
    (OPTION(MODEL) | OPTION(MODELS_DIR) | OPTION(TINY) | OPTION(BACKEND) | OPTION(DEVICE) | OPTION(KV) |     \
     OPTION(GPU_OPTIONS) | OPTION(THREADS) | OPTION(CONTEXT) | OPTION(MODELS_FILE))
#define OPTIONS_ALWAYS (OPTION(HELP) | OPTION(VERSION) | OPTION(LOG) | OPTION(LOG_FORMAT))

typedef struct Settings {
    const char *values[OPT_COUNT]; /* NULL: not given */
    const char **words;            /* what is no option, in order; borrowed from argv */
    size_t word_count;
    struct GivenOption {
        OptionId id;
        const char *value;
    } * given; /* of options that may be given several times, in order */
    size_t given_count;
    Arena arena;
} Settings;

/* argv from the first argument on. ERR_INVALID with a sentence for unknown options and values that are no
 * numbers. */
bool settings_read(Settings *settings, uint64_t options, int argc, char **argv, Err *err);
void settings_free(Settings *settings);
bool settings_has(const Settings *settings, OptionId id);
Str settings_text(const Settings *settings, OptionId id); /* empty when not given */
size_t settings_count(const Settings *settings, OptionId id, size_t otherwise);
double settings_number(const Settings *settings, OptionId id, double otherwise);
/* Every value of an option that may be given several times. */
Str *settings_list(const Settings *settings, OptionId id, Arena *arena, size_t *count);
/* Where sessions are kept: --state-dir, $XDG_STATE_HOME/mux or ~/.local/state/mux; empty: nowhere. */
Str settings_state_folder(const Settings *settings, Arena *arena);
/* The user's list of models: --models-file, $XDG_CONFIG_HOME/mux/models.yaml or ~/.config/mux/models.yaml. */
Str settings_models_file(const Settings *settings, Arena *arena);
Str settings_home(void); /* the home folder; may be empty */
/* All words joined by blanks. */
Str settings_words(const Settings *settings, Arena *arena);
void settings_print_help(uint64_t options, FILE *out);

#endif
