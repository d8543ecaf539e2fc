#include "tests/fakes/schema_check.h"

#include <math.h>
#include <stdlib.h>

#include "base/os.h"

#define SCHEMA_MAX_DEPTH 60

struct SchemaCheck {
    Arena arena;
    Json *root;     /* NULL: the small table */
    Json *unstable; /* for the methods that root has not; may be NULL */
    struct Sent {
        Json *id;
        Str method;
    } * sent;
    size_t sent_count, sent_capacity;
};

SchemaCheck *schema_open(const char *schema_path, Err *err) {
    SchemaCheck *schema = calloc(1, sizeof *schema);
    Str text;
    if (!schema_path)
        return schema;
    if (!os_read_file(schema_path, (size_t)8 << 20, &schema->arena, &text, err) ||
        !(schema->root = json_parse(text, err))) {
        schema_close(schema);
        return NULL;
    }
    Str folder = str_slice(str_of(schema_path), 0, str_rfind_char(str_of(schema_path), '/') + 1);
    Str beside = str_printf(&schema->arena, "%.*sschema.unstable.json", STR_ARG(folder));
    if (os_read_file(beside.ptr, (size_t)8 << 20, &schema->arena, &text, NULL))
        schema->unstable = json_parse(text, NULL);
    return schema;
}

void schema_close(SchemaCheck *schema) {
    if (!schema)
        return;
    for (size_t i = 0; i < schema->sent_count; i++)
        json_free(schema->sent[i].id);
    json_free(schema->root);
    json_free(schema->unstable);
    arena_free(&schema->arena);
    free(schema);
}

void schema_note_sent(SchemaCheck *schema, const Json *message) {
    const Json *id = json_find(message, "id");
    Str method = json_str(message, "method");
    if (!id || !method.len)
        return;
    struct Sent sent = {cJSON_Duplicate(id, true), str_copy(&schema->arena, method)};
    LIST_PUSH(&schema->arena, schema->sent, schema->sent_count, schema->sent_capacity, sent);
}

/* ---- one value against one schema ---- */

static bool check(const SchemaCheck *schema, const Json *rule, const Json *value, Str place, int depth,
                  Err *err);

static bool is_type(const Json *value, Str type) {
    if (str_eq(type, S("integer")))
        return cJSON_IsNumber(value) && floor(value->valuedouble) == value->valuedouble;
    return (str_eq(type, S("object")) && cJSON_IsObject(value)) ||
           (str_eq(type, S("array")) && cJSON_IsArray(value)) ||
           (str_eq(type, S("string")) && cJSON_IsString(value)) ||
           (str_eq(type, S("number")) && cJSON_IsNumber(value)) ||
           (str_eq(type, S("boolean")) && cJSON_IsBool(value)) ||
           (str_eq(type, S("null")) && cJSON_IsNull(value));
}

static bool has_type(const Json *types, const Json *value) {
    if (cJSON_IsString(types))
        return is_type(value, json_str_value(types));
    JSON_EACH(type, types) {
        if (is_type(value, json_str_value(type)))
            return true;
    }
    return false;
}

static bool check_choices(const SchemaCheck *schema, const Json *rule, const Json *value, Str place,
                          int depth, Err *err) {
    JSON_EACH(part, json_find(rule, "allOf")) {
        if (!check(schema, part, value, place, depth, err))
            return false;
    }
    static const char *const KEYS[] = {"anyOf", "oneOf"};
    for (int k = 0; k < 2; k++) {
        const Json *choices = json_find(rule, KEYS[k]);
        size_t fitting = 0;
        Err last = {0};
        JSON_EACH(part, choices)
        fitting += check(schema, part, value, place, depth, &last);
        if (choices && (fitting == 0 || (k == 1 && fitting > 1)))
            return err_set(err, ERR_INVALID, "%.*s fits %zu of %s (%s)", STR_ARG(place), fitting, KEYS[k],
                           last.text);
    }
    const Json *unwanted = json_find(rule, "not");
    if (unwanted && check(schema, unwanted, value, place, depth, NULL))
        return err_set(err, ERR_INVALID, "%.*s is what it must not be", STR_ARG(place));
    return true;
}

static bool check_object(const SchemaCheck *schema, const Json *rule, const Json *value, Str place, int depth,
                         Err *err) {
    JSON_EACH(name, json_find(rule, "required")) {
        if (!json_find(value, name->valuestring))
            return err_set(err, ERR_INVALID, "%.*s lacks %s", STR_ARG(place), name->valuestring);
    }
    const Json *properties = json_find(rule, "properties"), *others = json_find(rule, "additionalProperties");
    Arena arena = {0};
    bool ok = true;
    JSON_EACH(member, value) {
        const Json *member_rule = json_find(properties, member->string);
        Str inner = str_printf(&arena, "%.*s.%s", STR_ARG(place), member->string);
        if (!member_rule)
            member_rule = others;
        if (ok && member_rule)
            ok = check(schema, member_rule, member, inner, depth, err);
    }
    arena_free(&arena);
    return ok;
}

static bool check_array(const SchemaCheck *schema, const Json *rule, const Json *value, Str place, int depth,
                        Err *err) {
    const Json *items = json_find(rule, "items");
    if (json_len(value) < (size_t)json_int(rule, "minItems", 0))
        return err_set(err, ERR_INVALID, "%.*s has too few items", STR_ARG(place));
    Arena arena = {0};
    bool ok = true;
    size_t i = 0;
    JSON_EACH(item, value) {
        if (ok && items)
            ok = check(schema, items, item, str_printf(&arena, "%.*s[%zu]", STR_ARG(place), i), depth, err);
        i++;
    }
    arena_free(&arena);
    return ok;
}

static bool check_scalar(const Json *rule, const Json *value, Str place, Err *err) {
    const Json *only = json_find(rule, "const"), *choices = json_find(rule, "enum");
    if (only && !cJSON_Compare(only, value, true))
        return err_set(err, ERR_INVALID, "%.*s is not %s", STR_ARG(place),
                       only->valuestring ? only->valuestring : "the constant");
    bool is_listed = !choices;
    JSON_EACH(choice, choices)
    is_listed = is_listed || cJSON_Compare(choice, value, true);
    if (!is_listed)
        return err_set(err, ERR_INVALID, "%.*s is not one of the listed values", STR_ARG(place));
    if (cJSON_IsNumber(value) && (value->valuedouble < json_num(rule, "minimum", -INFINITY) ||
                                  value->valuedouble > json_num(rule, "maximum", INFINITY)))
        return err_set(err, ERR_INVALID, "%.*s is out of range", STR_ARG(place));
    if (cJSON_IsString(value) && json_str_value(value).len < (size_t)json_int(rule, "minLength", 0))
        return err_set(err, ERR_INVALID, "%.*s is too short", STR_ARG(place));
    return true;
}

static bool check(const SchemaCheck *schema, const Json *rule, const Json *value, Str place, int depth,
                  Err *err) {
    if (depth > SCHEMA_MAX_DEPTH)
        return err_set(err, ERR_LIMIT, "%.*s: the schema is too deep", STR_ARG(place));
    if (cJSON_IsBool(rule))
        return cJSON_IsTrue(rule) || err_set(err, ERR_INVALID, "%.*s is not allowed", STR_ARG(place));
    Str reference = json_str(rule, "$ref");
    if (str_starts(reference, S("#/$defs/"))) {
        const Json *target = json_find(json_find(schema->root, "$defs"), reference.ptr + 8);
        if (!target)
            return err_set(err, ERR_NOT_FOUND, "the schema has no %.*s", STR_ARG(reference));
        if (!check(schema, target, value, place, depth + 1, err))
            return false;
    }
    const Json *types = json_find(rule, "type");
    if (types && !has_type(types, value))
        return err_set(err, ERR_INVALID, "%.*s has the wrong type", STR_ARG(place));
    return check_scalar(rule, value, place, err) &&
           check_choices(schema, rule, value, place, depth + 1, err) &&
           (!cJSON_IsObject(value) || check_object(schema, rule, value, place, depth + 1, err)) &&
           (!cJSON_IsArray(value) || check_array(schema, rule, value, place, depth + 1, err));
}

bool schema_check_value(SchemaCheck *schema, const char *definition, const Json *value, Err *err) {
    const Json *rule = json_find(json_find(schema->root, "$defs"), definition);
    if (!rule)
        return err_set(err, ERR_NOT_FOUND, "the schema has no %s", definition);
    return check(schema, rule, value, str_of(definition), 0, err);
}

/* ---- one message ---- */

/* The entry for a method: the agent's answers and the client's requests are told apart by side and name. */
static const Json *definition_of(const SchemaCheck *schema, Str method, const char *ending) {
    JSON_EACH(entry, json_find(schema->root, "$defs")) {
        if (str_eq(json_str(entry, "x-method"), method) && str_ends(str_of(entry->string), str_of(ending)))
            return entry;
    }
    return NULL;
}

/* Without the schema: members that must be there, as "method ending" -> dotted paths. */
static const struct {
    const char *method, *ending, *members;
} REQUIRED[] = {
    {"initialize", "Response", "protocolVersion agentCapabilities agentInfo authMethods"},
    {"session/new", "Response", "sessionId configOptions modes"},
    {"session/prompt", "Response", "stopReason"},
    {"session/set_config_option", "Response", "configOptions"},
    {"session/update", "Notification", "sessionId update"},
    {"session/request_permission", "Request", "sessionId toolCall options"},
    {"fs/read_text_file", "Request", "sessionId path"},
    {"fs/write_text_file", "Request", "sessionId path content"},
    {"$/cancel_request", "Notification", "requestId"},
};

static bool check_by_table(Str method, const char *ending, const Json *value, Err *err) {
    for (size_t i = 0; i < sizeof REQUIRED / sizeof *REQUIRED; i++) {
        if (!str_eq(method, str_of(REQUIRED[i].method)) ||
            !str_eq(str_of(ending), str_of(REQUIRED[i].ending)))
            continue;
        Arena arena = {0};
        bool ok = true;
        for (Str rest = str_of(REQUIRED[i].members); rest.len && ok;) {
            size_t end = str_find_char(rest, ' ', 0);
            const char *name = str_cstr(&arena, str_slice(rest, 0, end));
            if (!json_find(value, name))
                ok = err_set(err, ERR_INVALID, "%.*s lacks %s", STR_ARG(method), name);
            rest = end == STR_NONE ? S("") : str_from(rest, end + 1);
        }
        arena_free(&arena);
        return ok;
    }
    return true;
}

static bool check_part(const SchemaCheck *schema, Str method, const char *ending, const Json *value,
                       Err *err) {
    if (!schema->root)
        return check_by_table(method, ending, value, err);
    if (str_starts(method, S("_"))) /* of our own: the schema leaves it open */
        return cJSON_IsObject(value) || err_set(err, ERR_INVALID, "%.*s: no object", STR_ARG(method));
    const Json *rule = definition_of(schema, method, ending);
    if (!rule && schema->unstable) {
        SchemaCheck other = {.root = schema->unstable};
        return check_part(&other, method, ending, value, err);
    }
    return rule ? check(schema, rule, value, method, 0, err)
                : err_set(err, ERR_INVALID, "the schema has no %.*s %s", STR_ARG(method), ending);
}

static bool check_error(const Json *message, const Json *error, Err *err) {
    bool ok = cJSON_IsNumber(json_find(error, "code")) && cJSON_IsString(json_find(error, "message"));
    return (ok && !json_find(message, "result")) ||
           err_set(err, ERR_INVALID, "an error without code and message");
}

/* An id may be used again once it was answered. */
static bool check_answer(SchemaCheck *schema, const Json *message, Err *err) {
    const Json *id = json_find(message, "id"), *error = json_find(message, "error");
    for (size_t i = 0; i < schema->sent_count; i++) {
        Str method = schema->sent[i].method;
        if (str_eq(method, S("(answered)")) || !cJSON_Compare(schema->sent[i].id, id, true))
            continue;
        schema->sent[i].method = S("(answered)");
        return error ? check_error(message, error, err)
                     : check_part(schema, method, "Response", json_find(message, "result"), err);
    }
    return error ? check_error(message, error, err)
                 : err_set(err, ERR_INVALID, "an answer to nothing that was asked");
}

bool schema_check(SchemaCheck *schema, const Json *message, Err *err) {
    if (!str_eq(json_str(message, "jsonrpc"), S("2.0")))
        return err_set(err, ERR_INVALID, "no jsonrpc 2.0");
    Str method = json_str(message, "method");
    if (!method.len)
        return check_answer(schema, message, err);
    return check_part(schema, method, json_find(message, "id") ? "Request" : "Notification",
                      json_find(message, "params"), err);
}
