/* A log from anywhere -> read, and compared with itself and with a part of itself. Whatever comes in: no
 * crash, a sentence when it is refused, no difference of a log to itself, and nothing read twice. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acp/replay_compare.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what) {
    if (condition)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static void check_pairs(const ReplayLog *log) {
    for (size_t i = 0; i < log->count; i++) {
        const LogMessage *item = &log->items[i];
        require(item->number == i + 1, "messages are numbered in order");
        if (item->partner == STR_NONE)
            continue;
        require(item->partner < log->count && log->items[item->partner].partner == i,
                "partners know each other");
        require(log->items[item->partner].to_agent != item->to_agent, "an answer goes the other way");
    }
    for (size_t i = 0; i < log->session_count; i++)
        require(replay_session_index(log, log->sessions[i].id) == i, "a session is in the list once");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ReplayLog log, again, part;
    Err err = {0};
    Str text = {(const char *)data, size}, folder = S("/a/b");
    bool ok = replay_log_read(text, &log, &err);
    require(ok ? log.count > 0 : err.text[0] != 0, "a refusal has a sentence");
    if (ok) {
        check_pairs(&log);
        require(replay_log_read(text, &again, &err), "what was read once is read again");
        ReplaySide one = {&log, &folder, 1}, two = {&again, &folder, 1};
        Buf out = {0};
        require(replay_compare(&one, &two, &out) == 0 && out.len == 0, "a log does not differ from itself");
        if (replay_log_read(str_slice(text, 0, size - size / 3), &part, &err)) {
            ReplaySide three = {&part, &folder, 1};
            replay_compare(&one, &three, &out);
            buf_clear(&out);
            replay_compare(&three, &one, &out);
        }
        replay_log_free(&part);
        buf_free(&out);
        replay_log_free(&again);
    }
    replay_log_free(&log);
    return 0;
}
