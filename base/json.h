/* JSON: a thin layer over cJSON (MIT) that checks what cJSON does not.
 *
 * json_parse refuses invalid UTF-8, nesting beyond JSON_MAX_DEPTH, lone surrogates, trailing bytes and \u0000
 * in strings. Getters never fail: they answer the default when the key is missing or has another type; use
 * json_find to tell the difference. Values are owned by the root; json_free(root) frees all (NULL is fine).
 */
#ifndef MUX_BASE_JSON_H
#define MUX_BASE_JSON_H

#include <cjson/cJSON.h>

#include "base/buf.h"
#include "base/err.h"

#define JSON_MAX_DEPTH 64

typedef cJSON Json;

Json *json_parse(Str text, Err *err); /* the caller's to json_free */
void json_free(Json *root);

/* Reading. object may be NULL or of another type: the answer is then NULL or the default. */
Json *json_find(const Json *object, const char *key);
Str json_str(const Json *object, const char *key); /* empty when absent; borrowed from the tree */
Str json_str_value(const Json *value);
double json_num(const Json *object, const char *key, double otherwise);
int64_t json_int(const Json *object, const char *key, int64_t otherwise);
bool json_bool(const Json *object, const char *key, bool otherwise);
size_t json_len(const Json *array);
#define JSON_EACH(item, array) for (Json *item = (array) ? (array)->child : NULL; item; item = item->next)

/* Building. The parent owns what is added. Invalid UTF-8 in a text is replaced by U+FFFD. */
Json *json_object(void);
Json *json_array(void);
Json *json_text(Str s);
void json_put(Json *object, const char *key, Json *value); /* takes value over; replaces an older one */
void json_put_str(Json *object, const char *key, Str s);
void json_put_num(Json *object, const char *key, double n);
void json_put_int(Json *object, const char *key, int64_t n);
void json_put_bool(Json *object, const char *key, bool b);
Json *json_put_object(Json *object, const char *key); /* a new child, owned by object */
Json *json_put_array(Json *object, const char *key);
void json_push(Json *array, Json *value);

/* Compact text on one line, appended to out. */
void json_print(const Json *value, Buf *out);
/* One JSON string literal with quotes, control characters escaped, invalid UTF-8 replaced. */
void json_print_string(Str s, Buf *out);

#endif
