#include <string.h>

#include "planner/tools.h"

static bool has_type(const Json *value, Str type) {
    if (str_eq(type, S("string")))
        return cJSON_IsString(value);
    if (str_eq(type, S("integer")) || str_eq(type, S("number")))
        return cJSON_IsNumber(value);
    if (str_eq(type, S("boolean")))
        return cJSON_IsBool(value);
    if (str_eq(type, S("array")))
        return cJSON_IsArray(value);
    if (str_eq(type, S("object")))
        return cJSON_IsObject(value);
    return true;
}

/* The value as it was meant; NULL: it cannot be told. */
static Json *converted(const Json *value, Str type) {
    Buf text = {0};
    Json *out = NULL;
    if (cJSON_IsString(value)) {
        Err err = {0};
        out = json_parse(str_trim(json_str_value(value)), &err);
        if (out && !has_type(out, type)) {
            json_free(out);
            out = NULL;
        }
    } else if (str_eq(type, S("string")) && (cJSON_IsNumber(value) || cJSON_IsBool(value))) {
        json_print(value, &text);
        out = json_text(buf_text(&text));
    }
    if (!out && str_eq(type, S("array")) && (cJSON_IsString(value) || cJSON_IsObject(value))) {
        out = json_array();
        json_push(out, cJSON_Duplicate(value, true));
    }
    buf_free(&text);
    return out;
}

static bool check_property(Json *arguments, const Json *property, Err *err) {
    Json *value = json_find(arguments, property->string);
    Str type = json_str(property, "type");
    if (!value || type.len == 0 || has_type(value, type))
        return true;
    if (cJSON_IsNull(value)) {
        cJSON_DeleteItemFromObjectCaseSensitive(arguments, property->string);
        return true;
    }
    Json *better = converted(value, type);
    if (!better)
        return err_set(err, ERR_INVALID, "\"%s\" must be of type %.*s", property->string, STR_ARG(type));
    json_put(arguments, property->string, better);
    return true;
}

bool tools_check_arguments(Json *arguments, Str schema_text, Err *err) {
    Err ignored = {0};
    Json *schema = json_parse(schema_text, &ignored); /* one that cannot be read is the server's to enforce */
    bool ok = true;
    const Json *properties = json_find(schema, "properties"), *required = json_find(schema, "required");
    if (cJSON_IsObject(properties))
        JSON_EACH(property, properties)
    ok = ok && check_property(arguments, property, err);
    if (cJSON_IsArray(required))
        JSON_EACH(name, required)
    if (ok && cJSON_IsString(name) && !json_find(arguments, name->valuestring))
        ok = err_set(err, ERR_INVALID, "it lacks \"%s\"", name->valuestring);
    json_free(schema);
    return ok;
}
