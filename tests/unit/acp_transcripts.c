/* Conversations written down as text (tests/transcripts), and the schema checker that watches every line. */
#define _GNU_SOURCE
#include "tests/fakes/transcript.h"
#include "tests/runner.h"

static void test_protocol(void) {
    TestClient client;
    client_open(&client, NULL);
    Arena arena = {0};
    transcript_run(&client, str_printf(&arena, "%s/tests/transcripts/protocol.txt", test_source_dir()).ptr,
                   test_tmp());
    arena_free(&arena);
}

static void check_value(SchemaCheck *schema, const char *definition, const char *text, bool expected) {
    Err err = {0};
    Json *value = json_parse(str_of(text), &err);
    CHECK_OK(value != NULL, err);
    bool ok = schema_check_value(schema, definition, value, &err);
    json_free(value);
    CHECK_MSG(ok == expected, "%s against %s: %s", text, definition, ok ? "taken" : err.text);
}

static void test_schema_checker(void) {
    Arena arena = {0};
    Err err = {0};
    SchemaCheck *schema = schema_open(test_shared(&arena, "acp/schema.json").ptr, &err);
    CHECK_OK(schema != NULL, err);
    check_value(schema, "PromptResponse", "{\"stopReason\":\"end_turn\"}", true);
    check_value(schema, "PromptResponse", "{\"stopReason\":\"bored\"}", false);
    check_value(schema, "PromptResponse", "{}", false);
    check_value(schema, "UsageUpdate", "{\"used\":1,\"size\":2}", true);
    check_value(schema, "UsageUpdate", "{\"used\":-1,\"size\":2}", false);
    check_value(schema, "UsageUpdate", "{\"used\":1.5,\"size\":2}", false);
    check_value(schema, "SessionUpdate",
                "{\"sessionUpdate\":\"agent_message_chunk\",\"content\":{\"type\":\"text\",\"text\":\"x\"}}",
                true);
    check_value(schema, "SessionUpdate",
                "{\"sessionUpdate\":\"agent_message_chunk\",\"content\":{\"type\":\"text\",\"text\":7}}",
                false);
    check_value(schema, "SessionUpdate", "{\"sessionUpdate\":\"no_such\"}", false);
    check_value(schema, "ToolCallContent",
                "{\"type\":\"diff\",\"path\":\"/a\",\"oldText\":null,\"newText\":\"\"}", true);
    check_value(schema, "ToolCallContent", "{\"type\":\"diff\",\"path\":\"/a\"}", false);
    schema_close(schema);
    arena_free(&arena);
}

static const TestCase CASES[] = {
    {"protocol", test_protocol},
    {"schema_checker", test_schema_checker},
};
TEST_SUITE(ACP_TRANSCRIPTS_SUITE, "transcripts", CASES);
