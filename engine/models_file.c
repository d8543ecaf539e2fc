#include "engine/models_file.h"

#include <string.h>
#include <yaml.h>

#include "base/os.h"

enum {
    MAX_DEPTH = 32,
    MAX_WARNINGS = 100,
    MAX_NAME_BYTES = 200,
    MAX_PATH_BYTES = 4096,
    MAX_TEXT_BYTES = 2000,
    SHOWN_BYTES = 60, /* of a text in a message */
};
#define SCRIPT_PREFIX "script:"

typedef struct Reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    bool has_event;
    Str path, home;
    Arena *arena;
    ModelsFile *out;
    Err *err;
} Reader;

/* A scalar or the whole of something else, which was skipped. */
typedef struct Value {
    bool is_scalar;
    Str text;
    size_t line;
} Value;

/* ---- events ---- */

static size_t line_of(const Reader *reader) {
    return reader->event.start_mark.line + 1;
}

static Str shown(Str text) {
    return str_slice(text, 0, SHOWN_BYTES);
}

static bool fail_at(Reader *reader, size_t line, const char *problem) {
    return err_set(reader->err, ERR_INVALID, "%.*s:%zu: %s", STR_ARG(reader->path), line, problem);
}

static void warn(Reader *reader, size_t line, Str what, const char *problem) {
    ModelsFile *out = reader->out;
    if (out->warning_count < MAX_WARNINGS)
        LIST_PUSH(reader->arena, out->warnings, out->warning_count, out->warning_capacity,
                  str_printf(reader->arena, "%.*s:%zu: \"%.*s\" %s", STR_ARG(reader->path), line,
                             STR_ARG(shown(what)), problem));
}

static bool next(Reader *reader) {
    if (reader->has_event)
        yaml_event_delete(&reader->event);
    reader->has_event = yaml_parser_parse(&reader->parser, &reader->event) != 0;
    if (reader->has_event)
        return true;
    const yaml_parser_t *parser = &reader->parser;
    return fail_at(reader, parser->problem_mark.line + 1,
                   parser->error == YAML_MEMORY_ERROR ? "out of memory"
                   : parser->problem                  ? parser->problem
                                                      : "this is no YAML");
}

static bool is_event(const Reader *reader, yaml_event_type_t type) {
    return reader->event.type == type;
}

static Str scalar(Reader *reader) {
    return str_copy(reader->arena,
                    (Str){(const char *)reader->event.data.scalar.value, reader->event.data.scalar.length});
}

/* From the beginning of a node to its end; what it holds does not matter. */
static bool skip_node(Reader *reader) {
    for (size_t depth = 0;;) {
        switch (reader->event.type) {
        case YAML_MAPPING_START_EVENT:
        case YAML_SEQUENCE_START_EVENT: depth++; break;
        case YAML_MAPPING_END_EVENT:
        case YAML_SEQUENCE_END_EVENT: depth--; break;
        default: break;
        }
        if (depth == 0)
            return true;
        if (depth > MAX_DEPTH)
            return fail_at(reader, line_of(reader), "this is nested too deeply");
        if (!next(reader))
            return false;
    }
}

static bool take_value(Reader *reader, Value *out) {
    *out = (Value){.is_scalar = is_event(reader, YAML_SCALAR_EVENT), .line = line_of(reader), .text = S("")};
    if (out->is_scalar)
        out->text = scalar(reader);
    return skip_node(reader);
}

/* ---- what an entry says ---- */

typedef struct Draft {
    ModelEntry entry;
    size_t line;
    bool is_bad;
} Draft;

static bool is_plain(Str text, size_t most) {
    for (size_t i = 0; i < text.len; i++)
        if ((uint8_t)text.ptr[i] < 0x20 || text.ptr[i] == 0x7F)
            return false;
    return text.len && text.len <= most;
}

static Str absolute_path(const Reader *reader, Str path) {
    if (str_starts(path, S("/")))
        return path;
    if (str_eq(path, S("~")) || str_starts(path, S("~/")))
        return str_printf(reader->arena, "%.*s%.*s", STR_ARG(reader->home), STR_ARG(str_from(path, 1)));
    size_t slash = str_rfind_char(reader->path, '/');
    Str folder = slash == STR_NONE ? S("") : str_slice(reader->path, 0, slash + 1);
    return str_concat(reader->arena, folder, path);
}

static const char *set_name(Reader *reader, ModelEntry *entry, Str text) {
    (void)reader;
    entry->name = text;
    return is_plain(text, MAX_NAME_BYTES) ? NULL : "is no name for a model";
}

static const char *set_path(Reader *reader, ModelEntry *entry, Str text) {
    bool is_script = str_starts(text, S(SCRIPT_PREFIX));
    Str file = is_script ? str_from(text, sizeof SCRIPT_PREFIX - 1) : text;
    if (!is_plain(file, MAX_PATH_BYTES))
        return "is no path";
    file = absolute_path(reader, file);
    entry->path = is_script ? str_concat(reader->arena, S(SCRIPT_PREFIX), file) : file;
    return NULL;
}

static const char *set_context(Reader *reader, ModelEntry *entry, Str text) {
    (void)reader;
    size_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || text.len > 9)
            return "is no number of tokens";
        value = value * 10 + (size_t)(text.ptr[i] - '0');
    }
    entry->context = value;
    return value ? NULL : "is no number of tokens";
}

static const char *set_style(Reader *reader, ModelEntry *entry, Str text) {
    (void)reader;
    entry->has_style = true;
    entry->is_labels = str_eq(text, S("labels"));
    return entry->is_labels || str_eq(text, S("full")) ? NULL : "must be full or labels";
}

/* YAML 1.1 has several words for true and false. */
static const char *set_thinking(Reader *reader, ModelEntry *entry, Str text) {
    static const char *const ON[] = {"on", "true", "yes"}, *const OFF[] = {"off", "false", "no"};
    (void)reader;
    for (size_t i = 0; i < 3; i++) {
        entry->is_terse = str_eq_nocase(text, str_of(OFF[i]));
        if (entry->is_terse || str_eq_nocase(text, str_of(ON[i])))
            return NULL;
    }
    return "must be on or off";
}

static const char *set_description(Reader *reader, ModelEntry *entry, Str text) {
    entry->description = str_slice(text, 0, MAX_TEXT_BYTES);
    (void)reader;
    return text.len <= MAX_TEXT_BYTES && !memchr(text.ptr, 0, text.len) ? NULL : "is too long";
}

static const struct {
    const char *key;
    const char *(*set)(Reader *reader, ModelEntry *entry, Str text); /* NULL, or what is wrong */
} KEYS[] = {
    {"name", set_name},   {"path", set_path},         {"context", set_context},
    {"style", set_style}, {"thinking", set_thinking}, {"description", set_description},
};

static void set_field(Reader *reader, Draft *draft, const Value *key, const Value *value) {
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        if (!str_eq(key->text, str_of(KEYS[i].key)))
            continue;
        const char *problem =
            value->is_scalar ? KEYS[i].set(reader, &draft->entry, value->text) : "takes a single value";
        if (problem) {
            draft->is_bad = true;
            warn(reader, value->line, value->is_scalar ? value->text : key->text, problem);
        }
        return;
    }
    warn(reader, key->line, key->text, "is no key of a model; it is skipped");
}

static bool is_taken(const ModelsFile *file, Str name) {
    for (size_t i = 0; i < file->count; i++)
        if (str_eq(file->items[i].name, name))
            return true;
    return false;
}

static bool end_entry(Reader *reader, const Draft *draft) {
    ModelsFile *out = reader->out;
    const ModelEntry *entry = &draft->entry;
    if (draft->is_bad)
        return true;
    if (!entry->name.len || !entry->path.len)
        warn(reader, draft->line, entry->name, entry->name.len ? "has no path" : "is a model without a name");
    else if (is_taken(out, entry->name))
        warn(reader, draft->line, entry->name, "is named twice; the first one counts");
    else if (out->count == MODELS_FILE_MAX_MODELS)
        return fail_at(reader, draft->line, "there are more than 500 models");
    else
        LIST_PUSH(reader->arena, out->items, out->count, out->capacity, *entry);
    return true;
}

/* ---- the shape of the file ---- */

/* The current event begins the mapping; afterwards it ends it. */
static bool read_fields(Reader *reader, Draft *draft) {
    if (!next(reader))
        return false;
    while (!is_event(reader, YAML_MAPPING_END_EVENT)) {
        Value key, value;
        if (!take_value(reader, &key) || !next(reader) || !take_value(reader, &value) || !next(reader))
            return false;
        set_field(reader, draft, &key, &value);
    }
    return true;
}

/* A node that should say what a model is: a mapping or just its path. */
static bool read_model(Reader *reader, Draft *draft, bool takes_path) {
    if (is_event(reader, YAML_MAPPING_START_EVENT))
        return read_fields(reader, draft) && end_entry(reader, draft);
    Value value;
    if (!take_value(reader, &value))
        return false;
    const char *problem = !takes_path || !value.is_scalar ? "is no model: give it a name and a path"
                                                          : set_path(reader, &draft->entry, value.text);
    if (!problem)
        return end_entry(reader, draft);
    warn(reader, value.line, value.text, problem);
    return true;
}

static bool read_list(Reader *reader) {
    if (!next(reader))
        return false;
    while (!is_event(reader, YAML_SEQUENCE_END_EVENT)) {
        Draft draft = {.entry = {.name = S(""), .path = S(""), .description = S("")}};
        draft.line = line_of(reader);
        if (!read_model(reader, &draft, false) || !next(reader))
            return false;
    }
    return true;
}

static bool read_table(Reader *reader) {
    if (!next(reader))
        return false;
    while (!is_event(reader, YAML_MAPPING_END_EVENT)) {
        Value name;
        Draft draft = {.entry = {.path = S(""), .description = S("")}};
        if (!take_value(reader, &name) || !next(reader))
            return false;
        draft.line = name.line;
        const char *problem = set_name(reader, &draft.entry, name.text);
        if (problem)
            warn(reader, name.line, name.text, problem);
        if (!(problem ? skip_node(reader) : read_model(reader, &draft, true)) || !next(reader))
            return false;
    }
    return true;
}

static bool read_models(Reader *reader) {
    Value value;
    size_t line = line_of(reader);
    if (is_event(reader, YAML_SEQUENCE_START_EVENT))
        return read_list(reader);
    if (is_event(reader, YAML_MAPPING_START_EVENT))
        return read_table(reader);
    if (!take_value(reader, &value))
        return false;
    return value.text.len == 0 || fail_at(reader, line, "models must be a list");
}

static bool read_document(Reader *reader) {
    bool has_models = false;
    if (!is_event(reader, YAML_MAPPING_START_EVENT))
        return fail_at(reader, line_of(reader), "this is no mapping with the key models");
    if (!next(reader))
        return false;
    while (!is_event(reader, YAML_MAPPING_END_EVENT)) {
        Value key;
        if (!take_value(reader, &key) || !next(reader))
            return false;
        bool is_models = !has_models && str_eq(key.text, S("models"));
        has_models = has_models || is_models;
        if (!is_models)
            warn(reader, key.line, key.text, "is not known here; it is skipped");
        if (!(is_models ? read_models(reader) : skip_node(reader)) || !next(reader))
            return false;
    }
    return true;
}

/* An empty file lists nothing. What follows the first document is not looked at. */
static bool read_stream(Reader *reader) {
    if (!next(reader) || !next(reader))
        return false;
    if (is_event(reader, YAML_STREAM_END_EVENT))
        return true;
    if (!next(reader))
        return false;
    bool is_blank = is_event(reader, YAML_SCALAR_EVENT) && reader->event.data.scalar.length == 0;
    return is_blank || read_document(reader);
}

bool models_file_parse(Str text, Str path, Str home, Arena *arena, ModelsFile *out, Err *err) {
    Reader reader = {.path = path, .home = home, .arena = arena, .out = out, .err = err};
    *out = (ModelsFile){0};
    if (text.len > MODELS_FILE_MAX_BYTES)
        return err_set(err, ERR_LIMIT, "%.*s is larger than 1 MiB", STR_ARG(path));
    if (!yaml_parser_initialize(&reader.parser))
        return err_set(err, ERR_NO_MEMORY, "out of memory while reading %.*s", STR_ARG(path));
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)(text.ptr ? text.ptr : ""), text.len);
    bool ok = read_stream(&reader);
    if (reader.has_event)
        yaml_event_delete(&reader.event);
    yaml_parser_delete(&reader.parser);
    if (!ok)
        *out = (ModelsFile){0};
    return ok;
}

bool models_file_read(Str path, Str home, Arena *arena, ModelsFile *out, Err *err) {
    Str text;
    *out = (ModelsFile){0};
    return os_read_file(str_cstr(arena, path), MODELS_FILE_MAX_BYTES, arena, &text, err) &&
           models_file_parse(text, path, home, arena, out, err);
}
