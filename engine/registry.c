#define _POSIX_C_SOURCE 200809L
#include "engine/registry.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "engine/arch.h"
#include "engine/chat_format.h"
#include "engine/models_file.h"
#include "engine/synthetic.h"

#define TINY_NAME "mux-tiny"
#define TINY_FILE "mux-tiny-q8_0.gguf"
#define SCRIPT_PREFIX "script:"
#define SCRIPT_CONTEXT 32768
#define MAX_MODELS_IN_FOLDER 1000

/* ---- which models there are ---- */

static ModelCard *add_card(Registry *registry, ModelCard card) {
    LIST_PUSH(&registry->arena, registry->cards, registry->count, registry->capacity, card);
    return &registry->cards[registry->count - 1];
}

static bool is_readable(Arena *arena, Str path) {
    return path.len && access(str_cstr(arena, path), R_OK) == 0;
}

/* As configured; else beside the program, in its share folder, or where the source tree has it. */
static Str find_tiny(Arena *arena, const EngineConfig *config) {
    if (config->tiny_path.len)
        return str_copy(arena, config->tiny_path);
    Str program = os_program_dir(arena);
    Str places[] = {str_printf(arena, "%.*s/" TINY_FILE, STR_ARG(program)),
                    str_printf(arena, "%.*s/../share/mux/" TINY_FILE, STR_ARG(program)), S(MUX_TINY_SOURCE)};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (is_readable(arena, places[i]))
            return places[i];
    return places[0];
}

static Str stem_of(Str path) {
    size_t slash = str_rfind_char(path, '/');
    Str name = slash == STR_NONE ? path : str_from(path, slash + 1);
    return str_ends(name, S(".gguf")) ? str_slice(name, 0, name.len - 5) : name;
}

static ModelCard file_card(Registry *registry, Str path) {
    Str kept = str_copy(&registry->arena, path);
    return (ModelCard){.name = stem_of(kept), .path = kept, .driver = S("local")};
}

static ModelCard script_card(Str name, Str path) {
    return (ModelCard){.name = name,
                       .path = path,
                       .driver = S("script"),
                       .chat_format = S("plain"),
                       .style = PROMPT_FULL,
                       .context = SCRIPT_CONTEXT,
                       .is_scripted = true};
}

/* Its weights are made where they are used; nothing of it is in a file. */
static ModelCard synthetic_card(Str name) {
    return (ModelCard){.name = str_from(name, sizeof SYNTHETIC_PREFIX - 1),
                       .path = name,
                       .driver = S("local"),
                       .chat_format = S("plain"),
                       .style = PROMPT_FULL};
}

static bool is_registered(const Registry *registry, Str name, Str path) {
    for (size_t i = 0; i < registry->count; i++)
        if (str_eq(registry->cards[i].name, name) || (path.len && str_eq(registry->cards[i].path, path)))
            return true;
    return false;
}

static void add_entry(Registry *registry, const ModelEntry *entry) {
    bool is_script = str_starts(entry->path, S(SCRIPT_PREFIX));
    ModelCard card = is_script ? script_card(entry->name, str_from(entry->path, sizeof SCRIPT_PREFIX - 1))
                               : (ModelCard){.name = entry->name, .path = entry->path, .driver = S("local")};
    if (entry->has_style)
        card.style = entry->is_labels ? PROMPT_LABELS : PROMPT_FULL;
    card.has_own_style = entry->has_style;
    card.description = entry->description;
    card.is_terse = entry->is_terse;
    card.wanted_context = entry->context;
    add_card(registry, card);
}

/* A file that cannot be used is worth a sentence, no more. */
static void read_models_file(Registry *registry, Str path, Str home) {
    ModelsFile file;
    Err err = {0};
    if (!models_file_read(str_copy(&registry->arena, path), home, &registry->arena, &file, &err) &&
        err.code != ERR_NOT_FOUND)
        LIST_PUSH(&registry->arena, file.warnings, file.warning_count, file.warning_capacity,
                  str_copy(&registry->arena, str_of(err.text)));
    for (size_t i = 0; i < file.count; i++) {
        if (!is_registered(registry, file.items[i].name, S("")))
            add_entry(registry, &file.items[i]);
        else
            LIST_PUSH(&registry->arena, file.warnings, file.warning_count, file.warning_capacity,
                      str_printf(&registry->arena, "%.*s: the name \"%.*s\" is taken by a built-in model",
                                 STR_ARG(path), STR_ARG(file.items[i].name)));
    }
    registry->warnings = file.warnings;
    registry->warning_count = file.warning_count;
}

static int compare_names(const void *a, const void *b) {
    return str_cmp(*(const Str *)a, *(const Str *)b);
}

static void scan_folder(Registry *registry, Str folder) {
    Arena scratch = {0};
    Str *paths = NULL;
    size_t count = 0, capacity = 0;
    DIR *dir = folder.len ? opendir(str_cstr(&scratch, folder)) : NULL;
    for (struct dirent *entry; dir && count < MAX_MODELS_IN_FOLDER && (entry = readdir(dir));) {
        Str name = str_of(entry->d_name);
        if (name.ptr[0] != '.' && str_ends(name, S(".gguf")))
            LIST_PUSH(&scratch, paths, count, capacity,
                      str_printf(&scratch, "%.*s/%s", STR_ARG(folder), entry->d_name));
    }
    if (dir)
        closedir(dir);
    if (count)
        qsort(paths, count, sizeof *paths, compare_names);
    for (size_t i = 0; i < count; i++)
        if (!is_registered(registry, stem_of(paths[i]), paths[i]))
            add_card(registry, file_card(registry, paths[i]));
    arena_free(&scratch);
}

static bool is_path(Str model) {
    return str_find_char(model, '/', 0) != STR_NONE || str_ends(model, S(".gguf"));
}

void registry_open(Registry *registry, const EngineConfig *config) {
    *registry = (Registry){0};
    registry->default_model =
        config->default_model.len ? str_copy(&registry->arena, config->default_model) : S(TINY_NAME);
    ModelCard *tiny = add_card(registry, file_card(registry, find_tiny(&registry->arena, config)));
    tiny->name = S(TINY_NAME);
    tiny->is_embedded = true;
    add_card(registry, script_card(S("echo"), S("")));
    if (config->models_file.len)
        read_models_file(registry, config->models_file, config->home);
    scan_folder(registry, config->models_dir);
    Str given = registry->default_model;
    if (is_path(given) && !str_starts(given, S(SCRIPT_PREFIX)) && !is_registered(registry, given, given))
        add_card(registry, file_card(registry, registry->default_model));
}

void registry_close(Registry *registry) {
    arena_free(&registry->arena);
    *registry = (Registry){0};
}

/* ---- what their files say ---- */

/* The type that holds the most values, and how many values there are in all. */
static void count_weights(const Gguf *file, ModelCard *card) {
    size_t values_of[64] = {0};
    uint32_t most = 0;
    for (size_t i = 0; i < gguf_tensor_count(file); i++) {
        const GgufTensor *tensor = gguf_tensor(file, i);
        size_t values = 1;
        for (uint32_t d = 0; d < tensor->dimension_count; d++)
            values *= (size_t)tensor->dimensions[d];
        card->parameters += values;
        if (tensor->type < 64 && (values_of[tensor->type] += values) > values_of[most])
            most = tensor->type;
    }
    const char *name = dtype_name(most);
    card->type = card->parameters && name ? str_of(name) : S("unknown");
}

static bool inspect(ModelCard *card, Err *err) {
    Arena scratch = {0};
    Shape shape;
    Gguf *file = gguf_open(str_cstr(&scratch, card->path), err);
    const Arch *arch = file ? arch_of(file, err) : NULL;
    bool ok = arch && arch->read_shape(file, &shape, err);
    if (ok) {
        ChatFacts facts = chat_facts(file);
        count_weights(file, card);
        card->chat_format = str_of(chat_format_name(facts.format));
        if (!card->has_own_style)
            card->style = facts.has_labels ? PROMPT_LABELS : PROMPT_FULL;
        card->has_thinking = facts.has_thinking;
        card->file_bytes = gguf_bytes(file).len;
        card->context = shape.context;
        card->architecture = str_of(arch->name);
    }
    gguf_close(file);
    arena_free(&scratch);
    return ok;
}

static bool inspect_synthetic(ModelCard *card, Err *err) {
    SyntheticModel model;
    if (!synthetic_model(card->path, &model, err))
        return false;
    card->architecture = str_of(model.arch->name);
    card->type = str_of(dtype_name(model.type));
    card->context = model.shape.context;
    return true;
}

static bool fill_in(ModelCard *card, Err *err) {
    if (card->is_scripted || card->architecture.len)
        return true;
    if (str_starts(card->path, S(SYNTHETIC_PREFIX)))
        return inspect_synthetic(card, err);
    if (inspect(card, err))
        return true;
    return card->is_embedded && err_wrap(err, "the embedded model cannot be used");
}

size_t registry_all(Registry *registry, const ModelCard **out) {
    for (size_t i = 0; i < registry->count; i++)
        fill_in(&registry->cards[i], NULL);
    *out = registry->cards;
    return registry->count;
}

static ModelCard *find_by_name(Registry *registry, Str model) {
    for (size_t i = 0; i < registry->count; i++)
        if (str_eq(registry->cards[i].name, model) ||
            (registry->cards[i].path.len && str_eq(registry->cards[i].path, model)))
            return &registry->cards[i];
    for (size_t i = 0; i < registry->other_count; i++)
        if (str_eq(registry->others[i]->is_scripted ? registry->others[i]->name : registry->others[i]->path,
                   model))
            return registry->others[i];
    return NULL;
}

static ModelCard *add_other(Registry *registry, Str model) {
    ModelCard *card = ARENA_NEW(&registry->arena, ModelCard);
    if (str_starts(model, S(SCRIPT_PREFIX))) {
        Str name = str_copy(&registry->arena, model);
        *card = script_card(name, str_from(name, sizeof SCRIPT_PREFIX - 1));
    } else if (str_starts(model, S(SYNTHETIC_PREFIX))) {
        *card = synthetic_card(str_copy(&registry->arena, model));
    } else {
        *card = file_card(registry, model);
    }
    LIST_PUSH(&registry->arena, registry->others, registry->other_count, registry->other_capacity, card);
    return card;
}

const ModelCard *registry_find(Registry *registry, Str model, Err *err) {
    Str wanted = model.len ? model : registry->default_model;
    ModelCard *card = find_by_name(registry, wanted);
    if (!card &&
        (str_starts(wanted, S(SCRIPT_PREFIX)) || str_starts(wanted, S(SYNTHETIC_PREFIX)) || is_path(wanted)))
        card = add_other(registry, wanted);
    if (!card) {
        err_set(err, ERR_NOT_FOUND,
                "there is no model named \"%.*s\"; give a name that `mux-acp models` lists or the path of a "
                ".gguf file",
                (int)(wanted.len < 200 ? wanted.len : 200), wanted.ptr);
        return NULL;
    }
    return fill_in(card, err) ? card : NULL;
}
