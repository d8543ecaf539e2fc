#include "acp/record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/os.h"

struct Record {
    FILE *file;
    double begun_ms;
};

Record *record_open(const char *path, Err *err) {
    Record *record = calloc(1, sizeof *record);
    if (!record)
        abort();
    record->file = fopen(path, "we");
    record->begun_ms = os_monotonic_ms();
    if (record->file)
        return record;
    err_set_errno(err, errno, "cannot write the record %s", path);
    free(record);
    return NULL;
}

bool record_close(Record *record, Err *err) {
    if (!record)
        return true;
    bool ok = !ferror(record->file);
    if (fclose(record->file) != 0)
        ok = false;
    free(record);
    return ok || err_set(err, ERR_IO, "the record could not be written whole; is the disk full?");
}

static void take_line(void *ctx, bool is_incoming, Str line) {
    Record *record = ctx;
    Json *message = is_incoming ? json_parse(line, NULL) : NULL;
    bool is_object = !is_incoming || cJSON_IsObject(message);
    json_free(message);
    Buf out = {0};
    buf_printf(&out, "{\"t\":%.6f,\"dir\":\"%s\",", (os_monotonic_ms() - record->begun_ms) / 1e3,
               is_incoming ? "in" : "out");
    buf_cstr(&out, is_object ? "\"msg\":" : "\"raw\":");
    if (is_object)
        buf_str(&out, line); /* as it was, so that nothing is lost on the way */
    else
        json_print_string(line, &out);
    buf_cstr(&out, "}\n");
    if (!out.failed)
        fwrite(out.ptr, 1, out.len, record->file);
    fflush(record->file);
    buf_free(&out);
}

PeerTap record_tap(Record *record) {
    return record ? (PeerTap){.ctx = record, .line = take_line} : (PeerTap){0};
}
