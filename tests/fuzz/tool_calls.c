/* Calls in arbitrary replies: "8 bytes of choice, reply".
 *
 * What must hold: however the reply is split, calls and prose are the same; prose is a part of the reply, in
 * its order; the arguments of a call without a problem are a JSON object. */
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"
#include "planner/tool_calls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition) {
    if (!condition)
        abort();
}

static void read_reply(Str reply, const uint8_t *choice, Arena *arena, ToolCallParser *parser, Buf *prose) {
    tool_calls_begin(parser, arena);
    size_t at = 0;
    for (size_t i = 0; at < reply.len; i++) {
        size_t step = choice ? (size_t)choice[i % 8] % 16 + 1 : reply.len;
        tool_calls_feed(parser, str_slice(reply, at, at + step), prose);
        at += step;
    }
    tool_calls_finish(parser, prose);
}

static void check_call(const ToolCall *call) {
    must(call->name.len || call->problem.len);
    if (call->problem.len)
        return;
    Err err = {0};
    Json *arguments = json_parse(call->arguments, &err);
    must(arguments && cJSON_IsObject(arguments));
    json_free(arguments);
}

static void check_prose(Str reply, Str prose) {
    size_t at = 0;
    for (size_t i = 0; i < prose.len; i++, at++) {
        at = str_find_char(reply, prose.ptr[i], at);
        must(at != STR_NONE);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 8)
        return 0;
    Str reply = {(const char *)data + 8, size - 8};
    Arena arena = {0};
    ToolCallParser whole, split;
    Buf prose = {0}, split_prose = {0};
    read_reply(reply, NULL, &arena, &whole, &prose);
    read_reply(reply, data, &arena, &split, &split_prose);
    must(whole.count == split.count && str_eq(buf_text(&prose), buf_text(&split_prose)));
    must(tool_calls_wait(&whole) == tool_calls_wait(&split));
    for (size_t i = 0; i < whole.count; i++) {
        const ToolCall *a = &whole.calls[i], *b = &split.calls[i];
        must(str_eq(a->name, b->name) && str_eq(a->arguments, b->arguments) &&
             str_eq(a->problem, b->problem) && a->is_open == b->is_open);
        check_call(a);
    }
    check_prose(reply, buf_text(&prose));
    buf_free(&prose);
    buf_free(&split_prose);
    arena_free(&arena);
    return 0;
}
