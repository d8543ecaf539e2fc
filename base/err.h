/* Err: a failure as a plain value, a small code and one sentence for the user.
 *
 * Fallible functions return bool (or a pointer) and take Err *err last. err may be NULL when the caller
 * does not care. err_set returns false so that failing is one line: return err_set(err, ERR_IO, "...").
 * The sentence says what failed, where, and what to do. No allocation, no thread-local state.
 */
#ifndef MUX_BASE_ERR_H
#define MUX_BASE_ERR_H

#include <stdbool.h>

typedef enum ErrCode {
    ERR_NONE,
    ERR_INVALID,     /* the input is malformed */
    ERR_NOT_FOUND,   /* the thing named does not exist */
    ERR_DENIED,      /* outside the workspace, protected, or refused by the user */
    ERR_CONFLICT,    /* it changed since it was read, or is busy */
    ERR_AMBIGUOUS,   /* more than one place fits */
    ERR_UNSUPPORTED, /* well-formed, but not something this build handles */
    ERR_LIMIT,       /* too large, too many, too deep */
    ERR_NO_MEMORY,   /* large memory (weights, KV, device) ran out */
    ERR_IO,          /* the operating system said no */
    ERR_CANCELLED,   /* the user or client stopped it */
    ERR_INTERNAL,    /* our bug */
    ERR_COUNT
} ErrCode;

typedef struct Err {
    ErrCode code;
    char text[512];
} Err;

bool err_set(Err *err, ErrCode code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Appends ": " and strerror(errno_value). */
bool err_set_errno(Err *err, int errno_value, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Puts context in front of the sentence already there: "context: sentence". */
bool err_wrap(Err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *err_name(ErrCode code); /* "invalid", "not found", ... for logs and JSON */

#endif
