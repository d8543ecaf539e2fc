#define _GNU_SOURCE
#include "acp/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

/* KIND_LIST: a text that may be given several times. */
typedef enum OptionKind { KIND_FLAG, KIND_TEXT, KIND_COUNT, KIND_NUMBER, KIND_LIST } OptionKind;

/* Columns: long flag, short flag (0: none), value's name, kind, environment variable, help. */
static const struct {
    const char *name;
    char letter;
    const char *argument;
    OptionKind kind;
    const char *environment;
    const char *help;
} OPTIONS[] = {
    [OPT_HELP] = {"help", 'h', NULL, KIND_FLAG, NULL, "show this help"},
    [OPT_VERSION] = {"version", 'V', NULL, KIND_FLAG, NULL, "show the version"},
    [OPT_MODEL] = {"model", 'm', "NAME|PATH", KIND_TEXT, "MUX_MODEL",
                   "model: a registry name or a .gguf file"},
    [OPT_MODELS_DIR] = {"models-dir", 0, "DIR", KIND_TEXT, "MUX_MODELS_DIR", "folder with .gguf files"},
    [OPT_TINY] = {"tiny", 0, "FILE", KIND_TEXT, "MUX_TINY", "file of the embedded model"},
    [OPT_BACKEND] = {"backend", 0, "NAME", KIND_TEXT, "MUX_BACKEND", "cuda, cpu or ref; best by default"},
    [OPT_DEVICE] = {"device", 0, "N", KIND_COUNT, "MUX_DEVICE", "which GPU, from 0"},
    [OPT_KV] = {"kv", 0, "TYPE", KIND_TEXT, "MUX_KV", "keys and values in f16, bf16, q8_0 or f32"},
    [OPT_GPU_OPTIONS] = {"gpu-options", 0, "WORDS", KIND_TEXT, "MUX_GPU_OPTIONS", "wgmma, wait-each"},
    [OPT_THREADS] = {"threads", 't', "N", KIND_COUNT, "MUX_THREADS", "threads; all processors by default"},
    [OPT_CONTEXT] = {"context", 0, "TOKENS", KIND_COUNT, "MUX_CONTEXT", "longest prompt and answer together"},
    [OPT_LOG] = {"log", 0, "LEVEL", KIND_TEXT, "MUX_LOG", "error, warn, info or debug on stderr"},
    [OPT_LOG_FORMAT] = {"log-format", 0, "FORMAT", KIND_TEXT, "MUX_LOG_FORMAT",
                        "text (default) or json lines"},
    [OPT_REVIEW] = {"review", 0, "MODE", KIND_TEXT, "MUX_REVIEW", "ask (default), auto or plan"},
    [OPT_GRAIN] = {"grain", 0, "GRAIN", KIND_TEXT, "MUX_GRAIN",
                   "what one question is about: turn, file (default) or hunk"},
    [OPT_NO_THINKING] = {"no-thinking", 0, NULL, KIND_FLAG, NULL, "turn thinking off where the model has it"},
    [OPT_STATE_DIR] = {"state-dir", 0, "DIR", KIND_TEXT, "MUX_STATE_DIR",
                       "where sessions are kept; \"none\" keeps none"},
    [OPT_CLIENT_TIMEOUT] = {"client-timeout", 0, "S", KIND_COUNT, "MUX_CLIENT_TIMEOUT",
                            "seconds a client may take over a file (120); 0: without end"},
    [OPT_MAX_REQUESTS] = {"max-requests", 0, "N", KIND_COUNT, "MUX_MAX_REQUESTS",
                          "replies asked of the model in one turn (25)"},
    [OPT_MODELS_FILE] = {"models-file", 0, "FILE", KIND_TEXT, "MUX_MODELS_FILE",
                         "list of models; models.yaml in the configuration folder by default"},
    [OPT_RECORD] = {"record", 0, "FILE", KIND_TEXT, "MUX_RECORD", "keep a log of both directions"},
    [OPT_REPLAY] = {"replay", 0, "FILE", KIND_TEXT, NULL, "play the client's side of a log and compare"},
    [OPT_CWD] = {"cwd", 'C', "DIR", KIND_TEXT, NULL, "folder to work in"},
    [OPT_APPLY] = {"apply", 0, NULL, KIND_FLAG, NULL, "write the changes, with a backup"},
    [OPT_DRY_RUN] = {"dry-run", 0, NULL, KIND_FLAG, NULL, "write nothing"},
    [OPT_HUNKS] = {"hunks", 0, NULL, KIND_FLAG, NULL, "ask about every hunk on the terminal"},
    [OPT_JSON] = {"json", 0, NULL, KIND_FLAG, NULL, "one JSON object on stdout"},
    [OPT_VERBOSE] = {"verbose", 'v', NULL, KIND_FLAG, NULL, "show progress on stderr"},
    [OPT_ROOT] = {"root", 0, "DIR", KIND_TEXT, NULL, "folder that paths are relative to"},
    [OPT_STRIP] = {"strip", 'p', "N", KIND_COUNT, NULL, "leading path parts to drop (1)"},
    [OPT_CHECK] = {"check", 0, NULL, KIND_FLAG, NULL, "only see whether it would apply"},
    [OPT_REVERSE] = {"reverse", 'R', NULL, KIND_FLAG, NULL, "apply the patch backwards"},
    [OPT_RECOUNT] = {"recount", 0, NULL, KIND_FLAG, NULL, "distrust the line counts of hunks"},
    [OPT_UNIDIFF_ZERO] = {"unidiff-zero", 0, NULL, KIND_FLAG, NULL, "take hunks without context"},
    [OPT_IGNORE_WHITESPACE] = {"ignore-whitespace", 0, NULL, KIND_FLAG, NULL, "blanks in context may differ"},
    [OPT_TOLERANT] = {"tolerant", 0, NULL, KIND_FLAG, NULL, "take patches as models and mailers write them"},
    [OPT_FUZZ] = {"fuzz", 0, "N", KIND_COUNT, NULL, "outer context lines that may be dropped (0)"},
    [OPT_LEAST_CONTEXT] = {"least-context", 'C', "N", KIND_COUNT, NULL,
                           "context lines that must match (all)"},
    [OPT_UNIFIED] = {"unified", 'U', "N", KIND_COUNT, NULL, "lines of context (3)"},
    [OPT_BINARY] = {"binary", 0, NULL, KIND_FLAG, NULL, "carry binary files so that they can be applied"},
    [OPT_NO_RENAMES] = {"no-renames", 0, NULL, KIND_FLAG, NULL, "show a renamed file as deleted and new"},
    [OPT_BACKUP_COUNT] = {"backup-count", 0, "N", KIND_COUNT, "MUX_BACKUP_COUNT", "changes to keep (50)"},
    [OPT_BACKUP_DAYS] = {"backup-days", 0, "N", KIND_COUNT, "MUX_BACKUP_DAYS", "days to keep them (30)"},
    [OPT_BACKUP_MIB] = {"backup-mib", 0, "N", KIND_COUNT, "MUX_BACKUP_MIB", "their size in MiB (200)"},
    [OPT_FIXED] = {"fixed-strings", 'F', NULL, KIND_FLAG, NULL, "the pattern is plain text"},
    [OPT_IGNORE_CASE] = {"ignore-case", 'i', NULL, KIND_FLAG, NULL, "upper and lower case are the same"},
    [OPT_WORD] = {"word-regexp", 'w', NULL, KIND_FLAG, NULL, "whole words only"},
    [OPT_MOST] = {"most", 'k', "N", KIND_COUNT, NULL, "how many files (20)"},
    [OPT_PROMPT] = {"prompt", 0, "TEXT", KIND_TEXT, NULL, "raw text to continue"},
    [OPT_TOKENS] = {"tokens", 0, "IDS", KIND_TEXT, NULL, "token ids to continue: 1,2,3"},
    [OPT_NUMBER] = {"number", 'n', "N", KIND_COUNT, NULL, "tokens to generate"},
    [OPT_TEMPERATURE] = {"temp", 0, "X", KIND_NUMBER, NULL, "temperature; 0 is greedy (0)"},
    [OPT_TOP_K] = {"top-k", 0, "K", KIND_COUNT, NULL, "keep the K likeliest tokens"},
    [OPT_TOP_P] = {"top-p", 0, "P", KIND_NUMBER, NULL, "keep tokens up to this probability mass"},
    [OPT_MIN_P] = {"min-p", 0, "P", KIND_NUMBER, NULL, "drop tokens below this share of the likeliest"},
    [OPT_SEED] = {"seed", 0, "S", KIND_COUNT, "MUX_SEED", "seed of sampling"},
    [OPT_LOGPROBS] = {"logprobs", 0, "K", KIND_COUNT, NULL, "the K best raw logits of every step"},
    [OPT_LOGITS_FILE] = {"logits-file", 0, "FILE", KIND_TEXT, NULL, "write full float32 logit rows"},
    [OPT_SPECIAL] = {"special", 0, NULL, KIND_FLAG, NULL, "match control tokens in the text"},
    [OPT_SYNTHETIC] = {"synthetic", 0, "SHAPE:TYPE", KIND_TEXT, NULL, "random weights, as llama-8b:q4_k_m"},
    [OPT_PROMPT_SIZE] = {"prompt-size", 'p', "N", KIND_COUNT, NULL, "prompt tokens (512)"},
    [OPT_REPS] = {"reps", 0, "R", KIND_COUNT, NULL, "repetitions (5)"},
    [OPT_BUDGET] = {"budget", 0, "TOKENS", KIND_COUNT, NULL, "how long the map may be (2048)"},
    [OPT_FOCUS] = {"focus", 0, "PATH", KIND_LIST, NULL, "file or folder that is worked on; again for more"},
};
_Static_assert(sizeof OPTIONS / sizeof *OPTIONS == OPT_COUNT, "one row per option");
_Static_assert(OPT_COUNT <= 64, "options fit a mask");

static bool is_value(OptionKind kind, const char *text) {
    char *end;
    if (kind == KIND_COUNT) {
        strtoull(text, &end, 10);
        return *text >= '0' && *text <= '9' && *end == 0 && end - text < 19;
    }
    if (kind == KIND_NUMBER) {
        double x = strtod(text, &end);
        return *text && *end == 0 && x >= 0 && x < 1e9;
    }
    return true;
}

static bool set_value(Settings *settings, OptionId id, const char *value, Err *err) {
    if (!is_value(OPTIONS[id].kind, value))
        return err_set(err, ERR_INVALID, "--%s needs a number, not \"%s\"", OPTIONS[id].name, value);
    settings->values[id] = value;
    if (OPTIONS[id].kind == KIND_LIST)
        settings->given[settings->given_count++] = (struct GivenOption){id, value};
    return true;
}

/* The option with this long name or, without one, this letter. */
static bool find_option(uint64_t options, Str name, char letter, OptionId *out) {
    for (int id = 0; id < OPT_COUNT; id++) {
        if (!(options >> id & 1))
            continue;
        if (letter ? OPTIONS[id].letter == letter : str_eq(name, str_of(OPTIONS[id].name))) {
            *out = (OptionId)id;
            return true;
        }
    }
    return false;
}

/* One "--name", "--name=value" or "--name value"; *at moves over a value taken from the next argument. */
static bool read_long(Settings *settings, uint64_t options, int argc, char **argv, int *at, Err *err) {
    Str text = str_of(argv[*at] + 2);
    size_t equals = str_find_char(text, '=', 0);
    OptionId id;
    if (!find_option(options, str_slice(text, 0, equals), 0, &id))
        return err_set(err, ERR_INVALID, "there is no option %s here; see --help", argv[*at]);
    if (OPTIONS[id].kind == KIND_FLAG)
        return equals == STR_NONE ? set_value(settings, id, "1", err)
                                  : err_set(err, ERR_INVALID, "--%s takes no value", OPTIONS[id].name);
    if (equals != STR_NONE)
        return set_value(settings, id, text.ptr + equals + 1, err);
    if (*at + 1 >= argc)
        return err_set(err, ERR_INVALID, "--%s needs a value: %s", OPTIONS[id].name, OPTIONS[id].argument);
    return set_value(settings, id, argv[++*at], err);
}

/* "-F", "-Fi", "-p1", "-n 5". */
static bool read_short(Settings *settings, uint64_t options, int argc, char **argv, int *at, Err *err) {
    for (const char *p = argv[*at] + 1; *p; p++) {
        OptionId id;
        if (!find_option(options, S(""), *p, &id))
            return err_set(err, ERR_INVALID, "there is no option -%c here; see --help", *p);
        if (OPTIONS[id].kind == KIND_FLAG) {
            set_value(settings, id, "1", err);
            continue;
        }
        if (p[1])
            return set_value(settings, id, p + 1, err);
        if (*at + 1 >= argc)
            return err_set(err, ERR_INVALID, "-%c needs a value: %s", *p, OPTIONS[id].argument);
        return set_value(settings, id, argv[++*at], err);
    }
    return true;
}

static bool read_environment(Settings *settings, uint64_t options, Err *err) {
    for (int id = 0; id < OPT_COUNT; id++) {
        const char *name = OPTIONS[id].environment, *value = name && options >> id & 1 ? getenv(name) : NULL;
        if (value && *value && !set_value(settings, (OptionId)id, value, err))
            return err_wrap(err, "environment variable %s", name);
    }
    return true;
}

bool settings_read(Settings *settings, uint64_t options, int argc, char **argv, Err *err) {
    *settings = (Settings){0};
    options |= OPTIONS_ALWAYS;
    settings->words = ARENA_ARRAY(&settings->arena, const char *, (size_t)argc + 1);
    settings->given = ARENA_ARRAY(&settings->arena, struct GivenOption, (size_t)argc + OPT_COUNT);
    bool only_words = false, ok = read_environment(settings, options, err);
    for (int i = 0; i < argc && ok; i++) {
        if (only_words || argv[i][0] != '-' || argv[i][1] == 0)
            settings->words[settings->word_count++] = argv[i];
        else if (strcmp(argv[i], "--") == 0)
            only_words = true;
        else if (argv[i][1] == '-')
            ok = read_long(settings, options, argc, argv, &i, err);
        else
            ok = read_short(settings, options, argc, argv, &i, err);
    }
    return ok;
}

void settings_free(Settings *settings) {
    arena_free(&settings->arena);
}

bool settings_has(const Settings *settings, OptionId id) {
    return settings->values[id] != NULL;
}

Str settings_text(const Settings *settings, OptionId id) {
    return str_of(settings->values[id]);
}

size_t settings_count(const Settings *settings, OptionId id, size_t otherwise) {
    return settings->values[id] ? strtoull(settings->values[id], NULL, 10) : otherwise;
}

double settings_number(const Settings *settings, OptionId id, double otherwise) {
    return settings->values[id] ? strtod(settings->values[id], NULL) : otherwise;
}

Str *settings_list(const Settings *settings, OptionId id, Arena *arena, size_t *count) {
    Str *values = ARENA_ARRAY(arena, Str, settings->given_count + 1);
    *count = 0;
    for (size_t i = 0; i < settings->given_count; i++)
        if (settings->given[i].id == id)
            values[(*count)++] = str_of(settings->given[i].value);
    return values;
}

Str settings_state_folder(const Settings *settings, Arena *arena) {
    Str given = settings_text(settings, OPT_STATE_DIR);
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (given.len)
        return str_eq(given, S("none")) ? S("") : given;
    if (state && *state == '/')
        return str_printf(arena, "%s/mux", state);
    return home && *home == '/' ? str_printf(arena, "%s/.local/state/mux", home) : S("");
}

Str settings_home(void) {
    return str_of(getenv("HOME"));
}

Str settings_models_file(const Settings *settings, Arena *arena) {
    Str given = settings_text(settings, OPT_MODELS_FILE), home = settings_home();
    const char *config = getenv("XDG_CONFIG_HOME");
    if (given.len)
        return given;
    if (config && *config == '/')
        return str_printf(arena, "%s/mux/models.yaml", config);
    return str_starts(home, S("/")) ? str_concat(arena, home, S("/.config/mux/models.yaml")) : S("");
}

Str settings_words(const Settings *settings, Arena *arena) {
    Buf text = {0};
    for (size_t i = 0; i < settings->word_count; i++) {
        if (i)
            buf_char(&text, ' ');
        buf_cstr(&text, settings->words[i]);
    }
    Str all = buf_copy(&text, arena);
    buf_free(&text);
    return all;
}

void settings_print_help(uint64_t options, FILE *out) {
    options |= OPTIONS_ALWAYS;
    for (int id = 0; id < OPT_COUNT; id++) {
        if (!(options >> id & 1))
            continue;
        char flag[64], letter[8] = "    ";
        if (OPTIONS[id].letter)
            snprintf(letter, sizeof letter, "-%c, ", OPTIONS[id].letter);
        snprintf(flag, sizeof flag, "%s--%s %s", letter, OPTIONS[id].name,
                 OPTIONS[id].argument ? OPTIONS[id].argument : "");
        fprintf(out, "  %-26s %s", flag, OPTIONS[id].help);
        if (OPTIONS[id].environment)
            fprintf(out, " [%s]", OPTIONS[id].environment);
        fputc('\n', out);
    }
}
