#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static bool is_hex4(const char *p, const char *end, unsigned *value) {
    if (end - p < 4)
        return false;
    *value = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                                : 16;
        if (digit == 16)
            return false;
        *value = *value * 16 + digit;
    }
    return true;
}

/* One string literal from just behind its opening quote; returns the place behind the closing one. */
static const char *check_string(const char *p, const char *end, Err *err) {
    for (; p < end; p++) {
        if (*p == '"')
            return p + 1;
        if ((unsigned char)*p < 0x20)
            break;
        if (*p != '\\')
            continue;
        unsigned unit, low;
        if (++p < end && *p != 'u')
            continue;
        if (!is_hex4(p + 1, end, &unit))
            break;
        p += 4;
        if (unit == 0) {
            err_set(err, ERR_UNSUPPORTED, "JSON string holds \\u0000, which is not supported");
            return NULL;
        }
        if (unit >= 0xD800 && unit <= 0xDFFF) {
            bool paired = unit < 0xDC00 && end - p > 6 && p[1] == '\\' && p[2] == 'u' &&
                          is_hex4(p + 3, end, &low) && low >= 0xDC00 && low <= 0xDFFF;
            if (!paired) {
                err_set(err, ERR_UNSUPPORTED, "JSON string holds a lone surrogate");
                return NULL;
            }
            p += 6;
        }
    }
    err_set(err, ERR_INVALID, "JSON string is not closed or holds a raw control character");
    return NULL;
}

/* What cJSON lets through: raw control characters (also between values), lone surrogates, NUL, deep nesting.
 */
static bool check_text(Str text, Err *err) {
    int depth = 0;
    const char *end = text.ptr + text.len;
    for (const char *p = text.ptr; p < end;) {
        char c = *p++;
        if (c == '"') {
            if (!(p = check_string(p, end, err)))
                return false;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_MAX_DEPTH)
                return err_set(err, ERR_LIMIT, "JSON is nested deeper than %d levels", JSON_MAX_DEPTH);
        } else if (c == '}' || c == ']') {
            depth--;
        } else if ((unsigned char)c < 0x20 && c != '\t' && c != '\n' && c != '\r') {
            return err_set(err, ERR_INVALID, "JSON holds a raw control character");
        }
    }
    return true;
}

Json *json_parse(Str text, Err *err) {
    if (!utf8_valid(text)) {
        err_set(err, ERR_INVALID, "JSON is not valid UTF-8");
        return NULL;
    }
    if (!check_text(text, err))
        return NULL;
    const char *end = NULL;
    Json *root = cJSON_ParseWithLengthOpts(text.ptr, text.len, &end, false);
    if (!root) {
        err_set(err, ERR_INVALID, "not valid JSON");
        return NULL;
    }
    if (str_trim(str_range(end, text.ptr + text.len)).len) {
        cJSON_Delete(root);
        err_set(err, ERR_INVALID, "text after the JSON value");
        return NULL;
    }
    return root;
}

void json_free(Json *root) {
    cJSON_Delete(root);
}

Json *json_find(const Json *object, const char *key) {
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, key) : NULL;
}

Str json_str_value(const Json *value) {
    return cJSON_IsString(value) ? str_of(value->valuestring) : S("");
}

Str json_str(const Json *object, const char *key) {
    return json_str_value(json_find(object, key));
}

double json_num(const Json *object, const char *key, double otherwise) {
    const Json *value = json_find(object, key);
    return cJSON_IsNumber(value) ? value->valuedouble : otherwise;
}

int64_t json_int(const Json *object, const char *key, int64_t otherwise) {
    double n = json_num(object, key, NAN);
    return n >= -9007199254740992.0 && n <= 9007199254740992.0 ? (int64_t)n : otherwise;
}

bool json_bool(const Json *object, const char *key, bool otherwise) {
    const Json *value = json_find(object, key);
    return cJSON_IsBool(value) ? cJSON_IsTrue(value) : otherwise;
}

size_t json_len(const Json *array) {
    return array ? (size_t)cJSON_GetArraySize(array) : 0;
}

static Json *checked(Json *value) {
    if (!value)
        abort();
    return value;
}

Json *json_object(void) {
    return checked(cJSON_CreateObject());
}

Json *json_array(void) {
    return checked(cJSON_CreateArray());
}

Json *json_text(Str s) {
    Buf clean = {0};
    utf8_repair(s, &clean);
    for (size_t i = 0; i < clean.len; i++)
        if (clean.ptr[i] == 0)
            clean.ptr[i] = '?'; /* cJSON strings end at NUL; texts with NUL are binary and never sent */
    buf_char(&clean, 0);
    Json *value = clean.failed ? NULL : cJSON_CreateString(clean.ptr);
    buf_free(&clean);
    return checked(value);
}

void json_put(Json *object, const char *key, Json *value) {
    if (json_find(object, key))
        cJSON_ReplaceItemInObjectCaseSensitive(object, key, value);
    else
        cJSON_AddItemToObject(object, key, value);
}

void json_put_str(Json *object, const char *key, Str s) {
    json_put(object, key, json_text(s));
}

void json_put_num(Json *object, const char *key, double n) {
    json_put(object, key, checked(cJSON_CreateNumber(n)));
}

void json_put_int(Json *object, const char *key, int64_t n) {
    json_put_num(object, key, (double)n);
}

void json_put_bool(Json *object, const char *key, bool b) {
    json_put(object, key, checked(cJSON_CreateBool(b)));
}

Json *json_put_object(Json *object, const char *key) {
    Json *child = json_object();
    json_put(object, key, child);
    return child;
}

Json *json_put_array(Json *object, const char *key) {
    Json *child = json_array();
    json_put(object, key, child);
    return child;
}

void json_push(Json *array, Json *value) {
    cJSON_AddItemToArray(array, value);
}

void json_print(const Json *value, Buf *out) {
    char *text = cJSON_PrintUnformatted(value);
    if (!text) {
        out->failed = true;
        return;
    }
    buf_cstr(out, text);
    cJSON_free(text);
}

void json_print_string(Str s, Buf *out) {
    Buf clean = {0};
    utf8_repair(s, &clean);
    buf_char(out, '"');
    for (size_t i = 0; i < clean.len; i++) {
        unsigned char c = (unsigned char)clean.ptr[i];
        switch (c) {
        case '"': buf_cstr(out, "\\\""); break;
        case '\\': buf_cstr(out, "\\\\"); break;
        case '\n': buf_cstr(out, "\\n"); break;
        case '\r': buf_cstr(out, "\\r"); break;
        case '\t': buf_cstr(out, "\\t"); break;
        default:
            if (c < 0x20)
                buf_printf(out, "\\u%04x", c);
            else
                buf_char(out, (char)c);
        }
    }
    buf_char(out, '"');
    if (clean.failed)
        out->failed = true;
    buf_free(&clean);
}
