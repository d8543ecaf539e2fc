#define _GNU_SOURCE /* strerror_r that returns the text */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const NAMES[] = {
    [ERR_NONE] = "none",
    [ERR_INVALID] = "invalid",
    [ERR_NOT_FOUND] = "not found",
    [ERR_DENIED] = "denied",
    [ERR_CONFLICT] = "conflict",
    [ERR_AMBIGUOUS] = "ambiguous",
    [ERR_UNSUPPORTED] = "unsupported",
    [ERR_LIMIT] = "limit",
    [ERR_NO_MEMORY] = "no memory",
    [ERR_IO] = "io",
    [ERR_CANCELLED] = "cancelled",
    [ERR_INTERNAL] = "internal",
};
_Static_assert(sizeof NAMES / sizeof *NAMES == ERR_COUNT, "one name per error code");

const char *err_name(ErrCode code) {
    return (unsigned)code < ERR_COUNT ? NAMES[code] : "unknown";
}

bool err_set(Err *err, ErrCode code, const char *format, ...) {
    if (!err)
        return false;
    err->code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return false;
}

bool err_set_errno(Err *err, int errno_value, const char *format, ...) {
    if (!err)
        return false;
    err->code = ERR_IO;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    char reason[128];
    const char *text = strerror_r(errno_value, reason, sizeof reason);
    if (n >= 0 && (size_t)n < sizeof err->text)
        snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", text);
    return false;
}

bool err_wrap(Err *err, const char *format, ...) {
    if (!err)
        return false;
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n + 3 < sizeof err->text) {
        size_t room = sizeof err->text - (size_t)n - 3, length = strlen(old);
        if (length > room)
            length = room;
        memcpy(err->text + n, ": ", 2);
        memcpy(err->text + n + 2, old, length);
        err->text[(size_t)n + 2 + length] = 0;
    }
    return false;
}
