#include <string.h>

#include "base/json.h"
#include "planner/tool_calls_internal.h"

enum { MOST_NAME = 128 };

bool is_call_name_byte(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == ':';
}

Str call_name(Str text) {
    size_t n = 0;
    while (n < text.len && n < MOST_NAME && is_call_name_byte(text.ptr[n]))
        n++;
    return str_slice(text, 0, n);
}

static void add_call(ToolCallParser *p, Str name, Str arguments, Str problem, bool is_open) {
    p->has_ended = p->has_ended || p->count + 1 >= TOOL_CALLS_MOST;
    if (p->count >= TOOL_CALLS_MOST)
        return;
    ToolCall call = {str_copy(p->arena, name), str_copy(p->arena, arguments), problem, is_open};
    if (call.name.len == 0 && problem.len == 0)
        call.problem = S("it names no tool");
    LIST_PUSH(p->arena, p->calls, p->count, p->capacity, call);
}

/* ---- JSON ---- */

/* Mends what models get wrong most: raw line ends and tabs in strings, commas before a closer, closers too
 * many or missing. False when it ends inside a string. */
static bool mend_json(Str json, Buf *out) {
    char open[64];
    size_t depth = 0;
    bool is_string = false, is_escaped = false;
    for (size_t i = 0; i < json.len; i++) {
        char c = json.ptr[i];
        if (is_string) {
            bool is_control = (unsigned char)c < 0x20;
            if (is_control)
                buf_printf(out, "%s\\u%04x", is_escaped ? "\\" : "", (unsigned)c);
            else
                buf_char(out, c);
            is_string = is_escaped || c != '"';
            is_escaped = c == '\\' && !is_escaped;
            continue;
        }
        is_string = c == '"';
        if (c == '{' || c == '[') {
            if (depth == sizeof open)
                return false;
            open[depth++] = c == '{' ? '}' : ']';
        } else if (c == '}' || c == ']') {
            Str so_far = str_trim_end(buf_text(out));
            if (str_ends(so_far, S(",")))
                out->len = so_far.len - 1;
            if (depth == 0 || open[depth - 1] != c)
                continue;
            depth--;
        }
        buf_char(out, c);
    }
    Str so_far = str_trim_end(buf_text(out));
    if (str_ends(so_far, S(",")))
        out->len = so_far.len - 1;
    while (depth)
        buf_char(out, open[--depth]);
    return !is_string;
}

static Json *read_json(Str text, Err *err) {
    Json *value = json_parse(text, err);
    if (value)
        return value;
    Buf mended = {0};
    Err ignored = {0};
    if (mend_json(text, &mended))
        value = json_parse(buf_text(&mended), &ignored);
    buf_free(&mended);
    return value;
}

/* The arguments as an object's text; some models give them as a string that holds JSON. */
static bool print_arguments(const Json *arguments, Buf *out, Err *err) {
    if (!arguments || cJSON_IsNull(arguments)) {
        buf_cstr(out, "{}");
        return true;
    }
    if (cJSON_IsObject(arguments)) {
        json_print(arguments, out);
        return true;
    }
    Str text = cJSON_IsString(arguments) ? str_trim(json_str_value(arguments)) : S("");
    if (cJSON_IsString(arguments) && text.len == 0) {
        buf_cstr(out, "{}");
        return true;
    }
    Json *inner = text.len ? read_json(text, err) : NULL;
    bool is_object = cJSON_IsObject(inner);
    if (is_object)
        json_print(inner, out);
    json_free(inner);
    return is_object || err_set(err, ERR_INVALID, "its arguments are no JSON object");
}

static const Json *first_of(const Json *object, const char *const *keys, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const Json *value = json_find(object, keys[i]);
        if (value)
            return value;
    }
    return NULL;
}

/* {"name": ..., "arguments": {...}}, also inside of "function". */
static void add_object(ToolCallParser *p, const Json *object, bool is_open) {
    static const char *const KEYS[] = {"arguments", "parameters", "args", "input"};
    const Json *function = json_find(object, "function");
    if (cJSON_IsObject(function))
        object = function;
    Str name = json_str(object, "name");
    if (name.len == 0 && cJSON_IsString(function))
        name = json_str_value(function);
    Buf arguments = {0};
    Err err = {0};
    bool ok = print_arguments(first_of(object, KEYS, 4), &arguments, &err);
    add_call(p, name, buf_text(&arguments), ok ? S("") : str_printf(p->arena, "%s", err.text), is_open);
    buf_free(&arguments);
}

/* The name in JSON that cannot be read. */
static Str name_in(Str json) {
    size_t at = str_find(json, S("\"name\""), 0);
    size_t quote = at == STR_NONE ? STR_NONE : str_find_char(json, '"', at + 6);
    return quote == STR_NONE ? S("") : call_name(str_from(json, quote + 1));
}

static Str without_folder(Str name) {
    return str_starts(name, S("functions.")) ? str_from(name, 10) : name;
}

/* "[TOOL_CALLS]NAME[ARGS]" and harmony's "to=functions.NAME". */
static Str name_in_head(const ToolCallParser *p, Str head) {
    if (p->dialect == DIALECT_HARMONY) {
        size_t to = str_find(head, S("to="), 0);
        return to == STR_NONE ? S("") : without_folder(call_name(str_from(head, to + 3)));
    }
    return p->dialect == DIALECT_MISTRAL ? call_name(str_trim(str_from(head, strlen("[TOOL_CALLS]"))))
                                         : S("");
}

void calls_read_json(ToolCallParser *p, Str head, Str json, bool is_open) {
    Str name = name_in_head(p, head);
    Err err = {0};
    Json *value = read_json(str_trim(json), &err);
    if (!value) {
        add_call(p, name.len ? name : name_in(json), S("{}"),
                 str_printf(p->arena, "its JSON cannot be read: %s", err.text), is_open);
    } else if (name.len) {
        Buf arguments = {0};
        bool ok = print_arguments(value, &arguments, &err);
        add_call(p, name, buf_text(&arguments), ok ? S("") : str_printf(p->arena, "%s", err.text), is_open);
        buf_free(&arguments);
    } else if (cJSON_IsArray(value) && json_len(value)) {
        JSON_EACH(item, value)
        add_object(p, item, is_open);
    } else {
        add_object(p, value, is_open);
    }
    json_free(value);
}

/* ---- tags with raw values ---- */

typedef struct Tags {
    Str param_open, key_end, value_open, value_close;
} Tags;

static const Tags FUNCTION_TAGS = {STR_INIT("<parameter="), STR_INIT(">"), STR_INIT(""),
                                   STR_INIT("</parameter>")};
static const Tags GLM_TAGS = {STR_INIT("<arg_key>"), STR_INIT("</arg_key>"), STR_INIT("<arg_value>"),
                              STR_INIT("</arg_value>")};
static const Tags DSML_TAGS = {STR_INIT(DSML "parameter name=\""), STR_INIT("\""), STR_INIT(">"),
                               STR_INIT(DSML_END "parameter>")};

/* A value may hold "<" and even its own closer: that closes only where a parameter or the end follows. A
 * closer that is missing is the next parameter at the beginning of a line. */
static size_t value_end(const Tags *tags, Str text, size_t from, size_t *next) {
    for (size_t i = from; i < text.len; i++) {
        Str rest = str_from(text, i);
        if (str_starts(rest, tags->value_close)) {
            Str behind = str_trim(str_from(rest, tags->value_close.len));
            if (behind.len == 0 || str_starts(behind, tags->param_open) ||
                str_starts(behind, S("</function>"))) {
                *next = i + tags->value_close.len;
                return i;
            }
        }
        if (text.ptr[i] == '\n' && str_starts(str_from(rest, 1), tags->param_open)) {
            *next = i + 1;
            return i + 1;
        }
    }
    *next = text.len;
    return text.len;
}

static Str one_line_end_less(Str value) {
    size_t begin = str_starts(value, S("\r\n")) ? 2 : str_starts(value, S("\n")) ? 1 : 0;
    value = str_from(value, begin);
    size_t end = value.len;
    if (str_ends(value, S("\r\n")))
        end -= 2;
    else if (str_ends(value, S("\n")))
        end -= 1;
    return str_slice(value, 0, end);
}

/* DSML says which values are JSON; in the other dialects the tool's schema decides later. */
static void put_value(Json *arguments, const char *key, Str value, bool is_json) {
    Err err = {0};
    Json *parsed = is_json ? json_parse(str_trim(value), &err) : NULL;
    if (parsed)
        json_put(arguments, key, parsed);
    else
        json_put_str(arguments, key, value);
}

/* Reads the parameter at *at and moves behind it; false when there is none. */
static bool read_parameter(const ToolCallParser *p, const Tags *tags, Str text, size_t *at, Json *arguments) {
    size_t open = str_find(text, tags->param_open, *at);
    if (open == STR_NONE)
        return false;
    size_t key = open + tags->param_open.len, key_end = str_find(text, tags->key_end, key);
    if (key_end == STR_NONE)
        return false;
    size_t value = key_end + tags->key_end.len;
    bool is_json = false;
    if (tags->value_open.len) {
        size_t value_open = str_find(text, tags->value_open, value);
        if (value_open == STR_NONE)
            return false;
        is_json =
            p->dialect == DIALECT_DSML && str_contains(str_slice(text, value, value_open), S("\"false\""));
        value = value_open + tags->value_open.len;
    }
    size_t end = value_end(tags, text, value, at);
    Str name = str_trim(str_slice(text, key, key_end)), content = str_slice(text, value, end);
    char *argument = str_cstr(p->arena, name);
    for (char *c = argument; *c; c++)
        *c = (signed char)*c < 0x20 ? '?' : *c; /* names are ASCII */
    put_value(arguments, argument, p->dialect == DIALECT_FUNCTION ? one_line_end_less(content) : content,
              is_json);
    return true;
}

static Str tags_name(const ToolCallParser *p, Str text) {
    static const char *const OPENINGS[] = {"<function=", DSML "invoke name=\"", "<tool_call>"};
    for (size_t i = 0; i < 3; i++) {
        size_t at = str_find(text, str_of(OPENINGS[i]), 0);
        bool is_outer = i == 2 && p->dialect != DIALECT_GLM;
        if (at == STR_NONE || is_outer || (i < 2 && p->dialect == DIALECT_GLM))
            continue;
        return call_name(str_trim(str_from(text, at + strlen(OPENINGS[i]))));
    }
    return S("");
}

void calls_read_tags(ToolCallParser *p, Str text, bool is_open) {
    if (p->dialect == DIALECT_HARMONY) {
        add_call(p, name_in_head(p, text), S("{}"), S("its arguments are no JSON object"), is_open);
        return;
    }
    const Tags *tags = p->dialect == DIALECT_GLM    ? &GLM_TAGS
                       : p->dialect == DIALECT_DSML ? &DSML_TAGS
                                                    : &FUNCTION_TAGS;
    if (p->dialect == DIALECT_FUNCTION) { /* closers that stand behind a value that was not closed */
        Str body = str_trim_end(text);
        if (str_ends(body, S("</function>")))
            text = str_slice(body, 0, body.len - strlen("</function>"));
    }
    Json *arguments = json_object();
    size_t at = 0;
    for (int i = 0; i < TOOL_PARAMETERS_MOST && read_parameter(p, tags, text, &at, arguments); i++) {
    }
    Buf out = {0};
    json_print(arguments, &out);
    add_call(p, tags_name(p, text), buf_text(&out), S(""), is_open);
    buf_free(&out);
    json_free(arguments);
}
