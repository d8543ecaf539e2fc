#include "acp/commands/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/utf8.h"

bool terminal_takes_colour(int fd) {
    const char *no_colour = getenv("NO_COLOR"), *kind = getenv("TERM");
    return !(no_colour && *no_colour) && kind && *kind && strcmp(kind, "dumb") != 0 && isatty(fd);
}

size_t terminal_width(int fd) {
    struct winsize size;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

/* Marks and overrides of the text's direction (Unicode Standard Annex 9, table 1) and the line and paragraph
 * separators: invisible, and what stands behind them is not where it seems to be. */
static bool is_deceptive(uint32_t c) {
    return (c >= 0x80 && c < 0xA0) || c == 0x061C || c == 0x200E || c == 0x200F ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

/* One character of text from *at on. */
static void put_one(Buf *out, Str text, size_t *at) {
    size_t begin = *at;
    uint32_t c = utf8_next(text, at);
    if (c < 0x20 || c == 0x7F)
        buf_printf(out, "^%c", (int)(c ^ 0x40));
    else if (c == 0xFFFD && *at - begin == 1)
        buf_printf(out, "\\x%02X", (unsigned char)text.ptr[begin]);
    else if (is_deceptive(c))
        buf_printf(out, "<U+%04X>", (unsigned)c);
    else
        buf_append(out, text.ptr + begin, *at - begin);
}

void terminal_put(Buf *out, Str text, bool keeps_lines) {
    for (size_t at = 0; at < text.len;) {
        char c = text.ptr[at];
        if (c == '\t' || (c == '\n' && keeps_lines)) {
            buf_char(out, c);
            at++;
        } else
            put_one(out, text, &at);
    }
}

void terminal_put_cut(Buf *out, Str text, size_t columns) {
    size_t used = 0;
    for (size_t at = 0; at < text.len && used < columns; used++)
        if (text.ptr[at] == '\t') {
            buf_char(out, ' ');
            at++;
        } else {
            size_t before = out->len;
            put_one(out, text, &at);
            if (out->ptr && (unsigned char)out->ptr[before] < 0x80 && out->len - before > 1)
                used += out->len - before - 1; /* made visible: several characters */
        }
}
