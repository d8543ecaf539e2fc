/* The store of sessions: every event comes back as it went in, whoever dies, shares or damages the file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/log.h"
#include "base/os.h"
#include "planner/store.h"
#include "tests/runner.h"

/* ---- what a replay tells, one line an event ---- */

typedef struct Told {
    Arena arena;
    Buf lines;
    size_t events;
    ToolDiff diff; /* of the last tool call that had one */
    uint64_t hunk;
} Told;

static void note_tool(Told *told, const ToolEvent *tool) {
    buf_printf(&told->lines, "tool %.*s|%.*s|%.*s|%d|%d|%.*s|%.*s|%.*s", STR_ARG(tool->id),
               STR_ARG(tool->title), STR_ARG(tool->name), (int)tool->kind, (int)tool->status,
               STR_ARG(tool->raw_input), STR_ARG(tool->text), STR_ARG(tool->terminal_id));
    for (size_t i = 0; i < tool->location_count; i++)
        buf_printf(&told->lines, " @%.*s:%zu", STR_ARG(tool->locations[i].path), tool->locations[i].line);
    buf_printf(&told->lines, " first %d diffs %zu\n", tool->is_first, tool->diff_count);
    if (!tool->diff_count)
        return;
    const ToolDiff *diff = &tool->diffs[tool->diff_count - 1];
    told->diff = (ToolDiff){.path = str_copy(&told->arena, diff->path),
                            .relative = str_copy(&told->arena, diff->relative),
                            .old_text = str_copy(&told->arena, diff->old_text),
                            .new_text = str_copy(&told->arena, diff->new_text),
                            .is_new = diff->is_new,
                            .is_deleted = diff->is_deleted,
                            .moved_to = str_copy(&told->arena, diff->moved_to),
                            .hunk_count = diff->hunk_count,
                            .unified = str_copy(&told->arena, diff->unified)};
    told->hunk = diff->hunk_count ? diff->hunk_ids[0] : 0;
}

static void note(void *ctx, const TurnEvent *event) {
    Told *told = ctx;
    Buf *out = &told->lines;
    told->events++;
    switch (event->kind) {
    case TURN_TEXT: buf_printf(out, "text %.*s\n", STR_ARG(event->text)); break;
    case TURN_THOUGHT: buf_printf(out, "thought %.*s\n", STR_ARG(event->text)); break;
    case TURN_USER:
        buf_printf(out, "user %.*s", STR_ARG(event->text));
        for (size_t i = 0; i < event->attachment_count; i++)
            buf_printf(out, " +%.*s:%zu-%zu", STR_ARG(event->attachments[i].uri),
                       event->attachments[i].first_line, event->attachments[i].last_line);
        buf_char(out, '\n');
        break;
    case TURN_PLAN:
        buf_cstr(out, "plan");
        for (size_t i = 0; i < event->plan_count; i++)
            buf_printf(out, " %.*s:%d", STR_ARG(event->plan[i].text), (int)event->plan[i].status);
        buf_char(out, '\n');
        break;
    case TURN_TOOL: note_tool(told, event->tool); break;
    case TURN_COMPACTION:
        buf_printf(out, "compaction %.*s %d %.*s|%.*s\n", STR_ARG(event->compaction->id),
                   (int)event->compaction->status, STR_ARG(event->compaction->summary),
                   STR_ARG(event->compaction->error));
        break;
    default: buf_printf(out, "other %d\n", (int)event->kind);
    }
}

static void told_free(Told *told) {
    buf_free(&told->lines);
    arena_free(&told->arena);
}

static void check_replay(Store *store, const char *id, const char *expected) {
    Told told = {0};
    Err err = {0};
    CHECK_OK(store_replay(store, str_of(id), (TurnSink){&told, note}, &err), err);
    CHECK_STR(buf_text(&told.lines), str_of(expected));
    told_free(&told);
}

/* ---- a store in the test's folder ---- */

static Str folder(Arena *arena) {
    return str_printf(arena, "%s/state", test_tmp());
}

static const char *file_of(Arena *arena) {
    return str_printf(arena, "%s/state/sessions.db", test_tmp()).ptr;
}

static Store *open_store(void) {
    Arena arena = {0};
    Err err = {0};
    Store *store = store_open(folder(&arena), &err);
    CHECK_OK(store != NULL, err);
    arena_free(&arena);
    return store;
}

static StoredSession sample(const char *id, uint64_t turns) {
    return (StoredSession){.id = str_of(id),
                           .cwd = S("/work"),
                           .title = S(""),
                           .model = S("small"),
                           .review = REVIEW_AUTO,
                           .grain = GRAIN_HUNK,
                           .is_terse = true,
                           .turns = turns};
}

static void put(Store *store, const char *id, uint64_t turns) {
    StoredSession session = sample(id, turns);
    Err err = {0};
    CHECK_OK(store_put_session(store, &session, &err), err);
}

static void text(Store *store, uint64_t turn, TurnEventKind kind, const char *said) {
    store_event(store, S("s"), turn, &(TurnEvent){.kind = kind, .text = str_of(said)});
}

static void done(Store *store, uint64_t turn) {
    static const TurnDone DONE = {.stop = TURN_STOP_END};
    store_event(store, S("s"), turn, &(TurnEvent){.kind = TURN_DONE, .done = &DONE});
}

static void tool(Store *store, const char *id, bool is_first, ToolStatus status, const char *said) {
    ToolEvent event = {.id = str_of(id), .is_first = is_first, .kind = TOOL_EDIT, .status = status};
    event.title = is_first ? S("Edit") : S("");
    event.text = str_of(said);
    store_event(store, S("s"), 1, &(TurnEvent){.kind = TURN_TOOL, .tool = &event});
}

/* What SQLite itself says of the file. */
static Str query(const char *sql, Arena *arena) {
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    CHECK_INT(sqlite3_open(file_of(arena), &db), SQLITE_OK);
    CHECK_INT(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    Buf out = {0};
    while (sqlite3_step(statement) == SQLITE_ROW)
        buf_printf(&out, "%s;", (const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    sqlite3_close(db);
    Str said = buf_copy(&out, arena);
    buf_free(&out);
    return said;
}

/* ---- tests ---- */

static void test_session_row(void) {
    Arena arena = {0};
    Err err = {0};
    Store *store = open_store();
    static const Str ROOTS[] = {STR_INIT("/more"), STR_INIT("/and \"more\"")};
    StoredSession session = sample("s", 0), got;
    session.extra_roots = ROOTS;
    session.extra_root_count = 2;
    CHECK_OK(store_put_session(store, &session, &err), err);
    CHECK_OK(store_get_session(store, S("s"), &arena, &got, &err), err);
    CHECK_STR(got.cwd, S("/work"));
    CHECK_STR(got.model, S("small"));
    CHECK_INT(got.review, REVIEW_AUTO);
    CHECK_INT(got.grain, GRAIN_HUNK);
    CHECK(got.is_terse);
    CHECK_INT(got.extra_root_count, 2);
    CHECK_STR(got.extra_roots[1], ROOTS[1]);
    CHECK_INT(got.next_tool, 0);
    CHECK_OK(store_set_title(store, S("s"), S("A title"), &err), err);
    session.review = REVIEW_PLAN;
    session.turns = 3;
    CHECK_OK(store_put_session(store, &session, &err), err);
    CHECK_OK(store_get_session(store, S("s"), &arena, &got, &err), err);
    CHECK_INT(got.review, REVIEW_PLAN);
    CHECK_INT(got.turns, 3);
    CHECK_STR(got.title, S("A title")); /* a change of the row leaves it */
    CHECK(!store_get_session(store, S("t"), &arena, &got, &err));
    CHECK_INT(err.code, ERR_NOT_FOUND);
    CHECK(!store_set_title(store, S("t"), S("x"), &err));
    CHECK_INT(err.code, ERR_NOT_FOUND);
    struct stat file, beside;
    CHECK(stat(file_of(&arena), &file) == 0);
    CHECK_INT(file.st_mode & 0777, 0600);
    CHECK(stat(str_printf(&arena, "%s-wal", file_of(&arena)).ptr, &beside) == 0);
    CHECK_INT(beside.st_mode & 0777, 0600);
    CHECK(stat(folder(&arena).ptr, &file) == 0);
    CHECK_INT(file.st_mode & 0777, 0700);
    store_close(store);
    arena_free(&arena);
}

static void put_every_kind(Store *store) {
    static const Attachment FILES[] = {
        {.uri = STR_INIT("file:///tree/a%20b.c#L3:9"), .first_line = 3, .last_line = 9},
        {.uri = STR_INIT("zed:///x"), .text = STR_INIT("gone"), .has_text = true}};
    static const PlanEntry PLAN[] = {{STR_INIT("one"), PLAN_ACTIVE}, {STR_INIT("two"), PLAN_PENDING}};
    static const PlanEntry LATER[] = {{STR_INIT("one"), PLAN_COMPLETED}, {STR_INIT("two"), PLAN_ACTIVE}};
    static const ToolLocation PLACE[] = {{STR_INIT("/tree/a.c"), 7}};
    static const uint64_t HUNKS[] = {UINT64_C(0xfedcba9876543210)};
    static const ToolDiff DIFF[] = {{.path = STR_INIT("/tree/a.c"),
                                     .relative = STR_INIT("a.c"),
                                     .old_text = STR_INIT("old \"text\"\n\x01\n"),
                                     .new_text = STR_INIT("new \xF0\x9F\x98\x80\n"),
                                     .moved_to = STR_INIT("b.c"),
                                     .hunk_count = 1,
                                     .hunk_ids = HUNKS,
                                     .unified = STR_INIT("--- a/a.c\n")}};
    Compaction compaction = {.id = S("c1"), .status = COMPACTION_RUNNING};
    ToolEvent first = {.id = S("call_4"),
                       .is_first = true,
                       .title = S("Edit a.c"),
                       .name = S("propose_patch"),
                       .kind = TOOL_EDIT,
                       .status = TOOL_PENDING,
                       .raw_input = S("{\"a\":1}"),
                       .terminal_id = S("term_1"),
                       .locations = PLACE,
                       .location_count = 1,
                       .diffs = DIFF,
                       .diff_count = 1};
    ToolEvent last = {.id = S("call_4"), .status = TOOL_COMPLETED, .text = S("done well")};
    Notice notice = {NOTICE_INFO, S("not kept"), S("")};
    TurnUsage usage = {.prompts = 1};
    const TurnEvent EVENTS[] = {
        {.kind = TURN_USER, .text = S("please\nchange"), .attachments = FILES, .attachment_count = 2},
        {.kind = TURN_TITLE, .text = S("not kept")},
        {.kind = TURN_PLAN, .plan = PLAN, .plan_count = 2},
        {.kind = TURN_THOUGHT, .text = S("hm")},
        {.kind = TURN_TOOL, .tool = &first},
        {.kind = TURN_NOTICE, .notice = &notice},
        {.kind = TURN_PLAN, .plan = LATER, .plan_count = 2},
        {.kind = TURN_COMPACTION, .compaction = &compaction},
        {.kind = TURN_TOOL, .tool = &last},
        {.kind = TURN_USAGE, .usage = &usage},
        {.kind = TURN_TEXT, .text = S("an answer")},
    };
    for (size_t i = 0; i < sizeof EVENTS / sizeof *EVENTS; i++)
        store_event(store, S("s"), 1, &EVENTS[i]);
    compaction = (Compaction){.id = S("c1"), .status = COMPACTION_COMPLETED, .summary = S("in short")};
    store_event(store, S("s"), 1, &EVENTS[7]);
}

static const char EVERY_KIND[] =
    "user please\nchange +file:///tree/a%20b.c#L3:9:3-9 +zed:///x:0-0\n"
    "plan one:2 two:1\n"
    "thought hm\n"
    "tool call_4|Edit a.c|propose_patch|1|2|{\"a\":1}|done well| @/tree/a.c:7 first 1 diffs 1\n"
    "compaction c1 1 in short|\n"
    "text an answer\n";

static void test_every_kind(void) {
    Store *store = open_store();
    put(store, "s", 1);
    put_every_kind(store);
    check_replay(store, "s", EVERY_KIND);
    done(store, 1);
    store_close(store);
    store = open_store();
    check_replay(store, "s", EVERY_KIND);
    Told told = {0};
    CHECK(store_replay(store, S("s"), (TurnSink){&told, note}, NULL));
    CHECK_STR(told.diff.old_text, S("old \"text\"\n\x01\n"));
    CHECK_STR(told.diff.new_text, S("new \xF0\x9F\x98\x80\n"));
    CHECK_STR(told.diff.moved_to, S("b.c"));
    CHECK_STR(told.diff.unified, S("--- a/a.c\n"));
    CHECK(told.hunk == UINT64_C(0xfedcba9876543210));
    told_free(&told);
    Arena arena = {0};
    StoredSession got;
    CHECK(store_get_session(store, S("s"), &arena, &got, NULL));
    CHECK_INT(got.next_tool, 5);
    arena_free(&arena);
    store_close(store);
}

/* Pieces may be cut inside characters; they are joined within a turn and kind, never across. */
static void test_text_is_joined(void) {
    Arena arena = {0};
    Store *store = open_store();
    put(store, "s", 2);
    put(store, "t", 1);
    for (Str s = S("h\xC3\xA9\xE2\x82\xAC!"); s.len; s = str_from(s, 1)) {
        store_event(store, S("s"), 1, &(TurnEvent){.kind = TURN_TEXT, .text = str_slice(s, 0, 1)});
        store_event(store, S("t"), 1, &(TurnEvent){.kind = TURN_TEXT, .text = S("x")});
    }
    text(store, 1, TURN_THOUGHT, "one");
    text(store, 1, TURN_THOUGHT, " two");
    text(store, 1, TURN_TEXT, "end");
    const char *expected = "text h\xC3\xA9\xE2\x82\xAC!\nthought one two\ntext end\n";
    check_replay(store, "s", expected);
    CHECK_STR(query("SELECT count(*) FROM event WHERE session = 1", &arena), S("10;"));
    done(store, 1);
    CHECK_STR(query("SELECT count(*) FROM event WHERE session = 1", &arena), S("3;"));
    CHECK_STR(query("SELECT count(*) FROM event WHERE session = 2", &arena), S("7;"));
    check_replay(store, "s", expected);
    check_replay(store, "t", "text xxxxxxx\n");
    text(store, 2, TURN_TEXT, "next");
    done(store, 2);
    check_replay(store, "s", "text h\xC3\xA9\xE2\x82\xAC!\nthought one two\ntext end\ntext next\n");
    store_close(store);
    arena_free(&arena);
}

static void test_tool_calls(void) {
    Store *store = open_store();
    put(store, "s", 1);
    tool(store, "a", true, TOOL_RUNNING, "");
    tool(store, "b", true, TOOL_PENDING, "");
    text(store, 1, TURN_TEXT, "between");
    tool(store, "a", false, TOOL_COMPLETED, "a is done");
    tool(store, "never begun", false, TOOL_COMPLETED, "late");
    /* b never ended. */
    check_replay(store, "s",
                 "tool a|Edit||1|2||a is done| first 1 diffs 0\n"
                 "tool b|Edit||1|3||| first 1 diffs 0\n"
                 "text between\n"
                 "tool never begun|||4|2||late| first 1 diffs 0\n");
    store_close(store);
}

/* A process that dies leaves what it said up to the last event; the handle here is never closed in order. */
static void test_abandoned(void) {
    Store *store = open_store();
    put(store, "s", 1);
    text(store, 1, TURN_TEXT, "half ");
    tool(store, "a", true, TOOL_RUNNING, "");
    text(store, 1, TURN_TEXT, "an ");
    text(store, 1, TURN_TEXT, "answer");
    Store *second = open_store();
    check_replay(second, "s", "text half \ntool a|Edit||1|3||| first 1 diffs 0\ntext an answer\n");
    put(second, "s", 2);
    text(second, 2, TURN_TEXT, "goes on");
    done(second, 2);
    check_replay(second, "s",
                 "text half \ntool a|Edit||1|3||| first 1 diffs 0\ntext an answer\ntext goes on\n");
    store_close(second);
    store_close(store);
}

static void test_two_handles(void) {
    Arena arena = {0};
    Store *one = open_store(), *two = open_store();
    put(one, "s", 1);
    put(two, "t", 1);
    for (int i = 0; i < 50; i++) {
        text(one, 1, TURN_TEXT, "1");
        store_event(two, S("t"), 1, &(TurnEvent){.kind = TURN_TEXT, .text = S("2")});
    }
    done(one, 1);
    SessionPage page;
    CHECK(store_list(two, S(""), S(""), 10, &arena, &page, NULL));
    CHECK_INT(page.count, 2);
    Err err = {0};
    CHECK_OK(store_delete_session(two, S("s"), &err), err);
    text(one, 1, TURN_TEXT, "into nothing");
    check_replay(one, "s", "");
    put(one, "s", 2); /* an open session goes on in a new row */
    text(one, 2, TURN_TEXT, "again");
    check_replay(two, "s", "text again\n");
    store_close(one);
    store_close(two);
    CHECK_STR(query("PRAGMA integrity_check", &arena), S("ok;"));
    arena_free(&arena);
}

static void test_messages_and_files(void) {
    Arena arena = {0};
    Err err = {0};
    Store *store = open_store();
    put(store, "s", 2);
    store_message(store, S("s"), 1, ROLE_USER, S("ask"));
    store_message(store, S("s"), 1, ROLE_ASSISTANT, S("answer"));
    store_message(store, S("s"), 2, ROLE_USER, S(""));
    StoredMessage *messages;
    size_t count;
    CHECK_OK(store_messages(store, S("s"), &arena, &messages, &count, &err), err);
    CHECK_INT(count, 3);
    CHECK_INT(messages[1].message.role, ROLE_ASSISTANT);
    CHECK_STR(messages[1].message.text, S("answer"));
    CHECK_INT(messages[2].turn, 2);
    store_replace_messages(store, S("s"), messages + 1, 1);
    CHECK(store_messages(store, S("s"), &arena, &messages, &count, &err));
    CHECK_INT(count, 1);
    CHECK_STR(messages[0].message.text, S("answer"));

    StoredFile file = {
        .path = S("/tree/a"), .before = S("b\0c"), .sent = S("s"), .found = S(""), .was_new = true};
    StoredFile *files;
    store_file(store, S("s"), &file);
    file.sent = S("later");
    store_file(store, S("s"), &file);
    file.path = S("/tree/b");
    store_file(store, S("s"), &file);
    store_forget_file(store, S("s"), S("/tree/b"));
    CHECK_OK(store_files(store, S("s"), &arena, &files, &count, &err), err);
    CHECK_INT(count, 1);
    CHECK_STR(files[0].before, S("b\0c"));
    CHECK_STR(files[0].sent, S("later"));
    CHECK(files[0].was_new);
    store_close(store);
    arena_free(&arena);
}

static void test_copy_and_delete(void) {
    Arena arena = {0};
    Err err = {0};
    Store *store = open_store();
    put(store, "s", 1);
    put_every_kind(store);
    store_message(store, S("s"), 1, ROLE_USER, S("ask"));
    store_file(store, S("s"), &(StoredFile){.path = S("/tree/a")});
    CHECK_OK(store_copy_session(store, S("s"), S("copy"), &err), err);
    CHECK(!store_copy_session(store, S("nobody"), S("other"), &err));
    CHECK_INT(err.code, ERR_NOT_FOUND);
    CHECK_OK(store_delete_session(store, S("s"), &err), err);
    CHECK_OK(store_delete_session(store, S("s"), &err), err);
    check_replay(store, "copy", EVERY_KIND);
    check_replay(store, "s", "");
    CHECK_STR(
        query("SELECT (SELECT count(*) FROM event WHERE session = 1) + (SELECT count(*) FROM message WHERE "
              "session = 1) + (SELECT count(*) FROM file WHERE session = 1)",
              &arena),
        S("0;"));
    StoredMessage *messages;
    size_t count;
    CHECK(store_messages(store, S("copy"), &arena, &messages, &count, &err));
    CHECK_INT(count, 1);
    CHECK_OK(store_delete_session(store, S("copy"), &err), err);
    store_close(store);
    /* Nothing of what was said is left in the file. */
    Str bytes;
    CHECK_OK(os_read_file(file_of(&arena), 1 << 24, &arena, &bytes, &err), err);
    CHECK(!str_contains(bytes, S("an answer")));
    arena_free(&arena);
}

static void test_list(void) {
    Arena arena = {0};
    Err err = {0};
    Store *store = open_store();
    SessionPage page;
    for (int i = 0; i < 7; i++) {
        StoredSession session = sample(str_printf(&arena, "s%d", i).ptr, i == 3 ? 0 : 1);
        session.cwd = i % 2 ? S("/odd") : S("/work");
        CHECK_OK(store_put_session(store, &session, &err), err);
    }
    Buf ids = {0};
    Str cursor = S("");
    size_t pages = 0;
    do {
        CHECK_OK(store_list(store, S(""), cursor, 2, &arena, &page, &err), err);
        CHECK(page.count <= 2);
        for (size_t i = 0; i < page.count; i++)
            buf_printf(&ids, "%.*s ", STR_ARG(page.items[i].id));
        cursor = page.next;
        pages++;
    } while (cursor.len && pages < 10);
    CHECK_STR(buf_text(&ids), S("s6 s5 s4 s2 s1 s0 ")); /* s3: nothing was asked */
    CHECK_INT(pages, 3);
    CHECK(store_list(store, S("/odd"), S(""), 10, &arena, &page, &err));
    CHECK_INT(page.count, 2);
    CHECK_INT(page.next.len, 0);
    CHECK(page.items[0].updated > 1.7e9);
    static const char *const BAD[] = {
        "x", "1", "1.", ".1", "1.2x", "1.2.3", "99999999999999999999999999999999999999999999"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        CHECK(!store_list(store, S(""), str_of(BAD[i]), 2, &arena, &page, &err));
        CHECK_INT(err.code, ERR_INVALID);
    }
    buf_free(&ids);
    store_close(store);
    arena_free(&arena);
}

static void test_bounds(void) {
    Arena arena = {0};
    Store *store = open_store();
    SessionPage page;
    for (int i = 0; i < STORE_SESSIONS_MAX + 20; i++)
        put(store, str_printf(&arena, "s%d", i).ptr, 1);
    CHECK_STR(query("SELECT count(*) FROM session", &arena), S("1000;"));
    CHECK_STR(query("SELECT count(*) FROM session WHERE id IN ('s0', 's19')", &arena), S("0;"));
    CHECK(store_list(store, S(""), S(""), 1, &arena, &page, NULL));
    CHECK_STR(page.items[0].id, S("s1019"));
    store_close(store);
    /* Yesterday's empty ones go before anything else does. */
    query("UPDATE session SET turns = 0, updated = 1000 WHERE id = 's500'", &arena);
    store = open_store();
    put(store, "new", 0);
    CHECK_STR(query("SELECT id FROM session WHERE id IN ('new', 's500', 's20')", &arena), S("new;s20;"));
    store_close(store);
    /* The clock was put back: what is new looks older than all the rest, and stays. */
    query("UPDATE session SET updated = 9000000000000", &arena);
    store = open_store();
    put(store, "early", 1);
    CHECK_STR(query("SELECT count(*) FROM session", &arena), S("1000;"));
    CHECK_STR(query("SELECT id FROM session WHERE id = 'early'", &arena), S("early;"));
    CHECK_INT(store_turns(store, S("early")), 1);
    CHECK_INT(store_turns(store, S("never")), 0);
    store_close(store);
    arena_free(&arena);
}

/* ---- damage ---- */

static void check_refused(const char *part, ErrCode code, bool is_untouched) {
    Arena arena = {0};
    Err err = {0};
    Str before, after;
    CHECK_OK(os_read_file(file_of(&arena), 1 << 24, &arena, &before, &err), err);
    Store *store = store_open(folder(&arena), &err);
    CHECK(!store);
    CHECK_INT(err.code, code);
    CHECK_MSG(str_contains(str_of(err.text), str_of(part)), "%s", err.text);
    CHECK(os_read_file(file_of(&arena), 1 << 24, &arena, &after, NULL));
    CHECK_INT(after.len, before.len);
    CHECK(!is_untouched || str_eq(after, before));
    arena_free(&arena);
}

static void test_refuses_what_it_cannot_read(void) {
    Arena arena = {0};
    Err err = {0};
    CHECK(os_make_dirs(folder(&arena).ptr, &err));
    CHECK(os_write_file(file_of(&arena),
                        S("this is no database, however long one looks at it: ......................"
                          "..................................................................."),
                        &err));
    check_refused("damaged", ERR_IO, true);
    CHECK(unlink(file_of(&arena)) == 0);
    store_close(open_store());
    query("PRAGMA user_version = 2", &arena);
    check_refused("newer version", ERR_UNSUPPORTED, true);
    CHECK(unlink(file_of(&arena)) == 0);
    query("CREATE TABLE other(x)", &arena);
    check_refused("something else", ERR_INVALID, true);
    CHECK(unlink(file_of(&arena)) == 0);
    CHECK(mkdir(file_of(&arena), 0700) == 0);
    CHECK(!store_open(folder(&arena), &err));
    CHECK_INT(err.code, ERR_IO);
    arena_free(&arena);
}

static void test_tables_that_changed(void) {
    Arena arena = {0};
    store_close(open_store());
    query("DROP TABLE event", &arena);
    check_refused("damaged", ERR_IO, false);
    CHECK_STR(query("SELECT count(*) FROM session", &arena), S("0;"));
    arena_free(&arena);
}

/* Rows that nobody here wrote. */
static void test_strange_rows(void) {
    Arena arena = {0};
    Err err = {0};
    Store *store = open_store();
    put(store, "s", 1);
    text(store, 1, TURN_TEXT, "before");
    store_close(store);
    static const char *const BODIES[] = {"",     "{",          "[]",
                                         "null", "{\"id\":7}", "{\"id\":\"x\",\"kind\":99,\"status\":-4}"};
    static const char *const KINDS[] = {"tool", "plan", "compaction", "made up"};
    for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++)
        for (size_t b = 0; b < sizeof BODIES / sizeof *BODIES; b++)
            query(str_printf(&arena, "INSERT INTO event(session, turn, kind, body) VALUES(1, 1, '%s', '%s')",
                             KINDS[k], BODIES[b])
                      .ptr,
                  &arena);
    query("INSERT INTO message(session, turn, role, body) VALUES(1, 1, 77, 'x')", &arena);
    query("UPDATE session SET review = 55, grain = -1, roots = '{\"a\":', turns = -3", &arena);
    store = open_store();
    log_init("error"); /* it speaks of every one */
    text(store, 1, TURN_TEXT, "after");
    check_replay(store, "s",
                 "text before\n"
                 "tool x|||4|3||| first 1 diffs 0\n"
                 "compaction x 2 |\n"
                 "text after\n");
    StoredMessage *messages;
    size_t count;
    CHECK_OK(store_messages(store, S("s"), &arena, &messages, &count, &err), err);
    CHECK_INT(count, 0);
    log_init(NULL);
    StoredSession got;
    CHECK_OK(store_get_session(store, S("s"), &arena, &got, &err), err);
    CHECK_INT(got.review, REVIEW_ASK);
    CHECK_INT(got.turns, 0);
    CHECK_INT(got.extra_root_count, 0);
    store_close(store);
    arena_free(&arena);
}

/* Any byte of the file may be wrong: an answer or a sentence, never worse. */
static void test_damaged_pages(void) {
    Arena arena = {0};
    Err err = {0};
    Store *store = open_store();
    put(store, "s", 1);
    put_every_kind(store);
    done(store, 1);
    store_close(store);
    Str good;
    CHECK_OK(os_read_file(file_of(&arena), 1 << 24, &arena, &good, &err), err);
    char *bytes = malloc(good.len);
    log_init("error");
    for (int round = 0; round < 60; round++) {
        memcpy(bytes, good.ptr, good.len);
        for (int i = 0; i < 8; i++)
            bytes[test_random() % good.len] = (char)test_random();
        size_t kept = round % 3 ? good.len : test_random() % good.len;
        CHECK(os_write_file(file_of(&arena), (Str){bytes, kept}, &err));
        err = (Err){0};
        store = store_open(folder(&arena), &err);
        CHECK(store || err.code != ERR_NONE);
        if (!store)
            continue;
        Told told = {0};
        SessionPage page;
        StoredSession session = sample("s", 2);
        if (!store_replay(store, S("s"), (TurnSink){&told, note}, &err))
            CHECK(err.code != ERR_NONE);
        store_list(store, S(""), S(""), 10, &arena, &page, &err);
        store_put_session(store, &session, &err);
        text(store, 2, TURN_TEXT, "more");
        done(store, 2);
        store_delete_session(store, S("s"), &err);
        told_free(&told);
        store_close(store);
    }
    log_init(NULL);
    free(bytes);
    arena_free(&arena);
}

static void test_nothing_is_kept(void) {
    Arena arena = {0};
    Err err = {0};
    StoredSession session = sample("s", 1);
    SessionPage page;
    CHECK(store_put_session(NULL, &session, &err));
    text(NULL, 1, TURN_TEXT, "x");
    done(NULL, 1);
    CHECK(!store_get_session(NULL, S("s"), &arena, &session, &err));
    CHECK_INT(err.code, ERR_NOT_FOUND);
    CHECK(store_delete_session(NULL, S("s"), &err));
    CHECK(store_list(NULL, S(""), S(""), 10, &arena, &page, &err));
    CHECK_INT(page.count, 0);
    arena_free(&arena);
}

static const TestCase CASES[] = {
    {"session_row", test_session_row},
    {"every_kind", test_every_kind},
    {"text_is_joined", test_text_is_joined},
    {"tool_calls", test_tool_calls},
    {"abandoned", test_abandoned},
    {"two_handles", test_two_handles},
    {"messages_and_files", test_messages_and_files},
    {"copy_and_delete", test_copy_and_delete},
    {"list", test_list},
    {"bounds", test_bounds},
    {"refuses_what_it_cannot_read", test_refuses_what_it_cannot_read},
    {"tables_that_changed", test_tables_that_changed},
    {"strange_rows", test_strange_rows},
    {"damaged_pages", test_damaged_pages},
    {"nothing_is_kept", test_nothing_is_kept},
};
TEST_SUITE(PLANNER_STORE_SUITE, "store", CASES);
