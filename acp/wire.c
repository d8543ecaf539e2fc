#include "acp/wire.h"

#include <stdarg.h>
#include <stdio.h>

void wire_fail(Wire *wire, const char *problem, const char *field_format, ...) {
    if (wire->problem)
        return;
    wire->problem = problem;
    va_list args;
    va_start(args, field_format);
    vsnprintf(wire->field, sizeof wire->field, field_format, args);
    va_end(args);
}

Str wire_text(Wire *wire, const Json *object, const char *key) {
    const Json *value = json_find(object, key);
    if (!cJSON_IsString(value))
        wire_fail(wire, value ? "must be a string" : "is missing", "%s", key);
    return json_str_value(value);
}

const Json *wire_array(Wire *wire, const Json *object, const char *key) {
    const Json *value = json_find(object, key);
    if (cJSON_IsArray(value))
        return value;
    wire_fail(wire, value ? "must be an array" : "is missing", "%s", key);
    return NULL;
}

Str wire_absolute_path(Wire *wire, const Json *object, const char *key) {
    Str path = wire_text(wire, object, key);
    if (!wire->problem && !str_starts(path, S("/")))
        wire_fail(wire, "must be an absolute path", "%s", key);
    return wire->problem ? S("") : path;
}

void wire_refuse(Peer *peer, RpcId id, const Wire *wire) {
    Arena arena = {0};
    Json *data = json_object();
    json_put_str(data, "field", str_of(wire->field));
    json_put_str(data, "problem", str_of(wire->problem));
    peer_refuse(peer, id, RPC_INVALID_PARAMS,
                str_printf(&arena, "The field %s %s.", wire->field, wire->problem), data);
    arena_free(&arena);
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

Str wire_path_of_uri(Str uri, Arena *arena) {
    if (!str_starts(uri, S("file://")))
        return str_copy(arena, uri);
    Str rest = str_from(uri, 7);
    size_t slash = str_find_char(rest, '/', 0); /* file://host/path: the host is this machine */
    rest = slash == STR_NONE ? rest : str_from(rest, slash);
    char *out = arena_alloc(arena, rest.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < rest.len; i++) {
        int high = rest.ptr[i] == '%' && i + 2 < rest.len ? hex_digit(rest.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(rest.ptr[i + 2]) : -1;
        if (low >= 0 && high * 16 + low != 0) {
            out[n++] = (char)(high * 16 + low);
            i += 2;
        } else {
            out[n++] = rest.ptr[i];
        }
    }
    return (Str){out, n};
}

/* "L12" or "12" at *rest. */
static bool cut_line_number(Str *rest, size_t *out) {
    size_t at = str_starts(*rest, S("L")), digits = at;
    for (*out = 0; at < rest->len && rest->ptr[at] >= '0' && rest->ptr[at] <= '9' && at - digits < 9; at++)
        *out = *out * 10 + (size_t)(rest->ptr[at] - '0');
    *rest = str_from(*rest, at);
    return at > digits && *out > 0;
}

bool wire_lines_of_uri(Str uri, size_t *first, size_t *last) {
    size_t hash = str_rfind_char(uri, '#');
    Str rest = hash == STR_NONE ? S("") : str_from(uri, hash + 1);
    if (!str_starts(rest, S("L")) || !cut_line_number(&rest, first))
        return false;
    *last = *first;
    if (!rest.len)
        return true;
    bool has_end = rest.ptr[0] == ':' || rest.ptr[0] == '-';
    rest = str_from(rest, 1);
    return has_end && cut_line_number(&rest, last) && !rest.len && *last >= *first;
}
