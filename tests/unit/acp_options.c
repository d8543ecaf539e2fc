/* What can be chosen in a session, over the protocol: complete lists, both ways of choosing in step, refusals
 * that name the field. */
#include <string.h>

#include "acp/v1.h"
#include "tests/fakes/client.h"
#include "tests/runner.h"

#define WITH_BOOLEANS "{\"session\":{\"configOptions\":{\"boolean\":{}}}}"

static size_t three_models(void *ctx, const ModelCard **models) {
    static const ModelCard MODELS[] = {
        {.name = STR_INIT("tiny"), .is_embedded = true},
        {.name = STR_INIT("wise"), .has_thinking = true, .description = STR_INIT("it thinks")},
        {.name = STR_INIT("mute"), .has_thinking = true, .is_terse = true, .path = STR_INIT("/m.gguf")}};
    (void)ctx;
    *models = MODELS;
    return 3;
}

static Planner *a_planner(void *ctx, Err *err) {
    PlannerConfig config = {0};
    Planner **planner = ctx;
    if (!*planner)
        *planner = planner_open(&config, NULL, err);
    return *planner;
}

typedef struct Chooser {
    TestClient client;
    Planner *planner;
    const char *session;
} Chooser;

static void chooser_open(Chooser *c, const char *capabilities) {
    *c = (Chooser){0};
    ConnectionHost host = {.ctx = &c->planner, .planner = a_planner, .models = three_models};
    client_open(&c->client, &host);
    c->session = client_start_session(&c->client, capabilities, "/tmp");
}

static void chooser_close(Chooser *c) {
    CHECK_INT(client_end(&c->client), 0);
    planner_close(c->planner);
}

static Json *choose(Chooser *c, const char *option, const char *value_members) {
    client_send(&c->client,
                str_printf(&c->client.arena,
                           "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"session/set_config_option\","
                           "\"params\":{\"sessionId\":\"%s\",\"configId\":\"%s\",%s}}",
                           c->session, option, value_members)
                    .ptr);
    return client_answer(&c->client, "7");
}

static const Json *option_of(const Json *list, const char *id) {
    JSON_EACH(option, list)
    if (str_eq(json_str(option, "id"), str_of(id)))
        return option;
    return NULL;
}

/* "mode=ask model=tiny ..." of a list of options. */
static void print_list(const Json *list, Buf *out) {
    JSON_EACH(option, list) {
        const Json *value = json_find(option, "currentValue");
        Str text =
            cJSON_IsBool(value) ? (cJSON_IsTrue(value) ? S("true") : S("false")) : json_str_value(value);
        buf_printf(out, "%s%.*s=%.*s", out->len ? " " : "", STR_ARG(json_str(option, "id")), STR_ARG(text));
    }
}

static void check_choice(Chooser *c, const char *option, const char *value_members, const char *expected) {
    Buf got = {0};
    Json *answer = choose(c, option, value_members);
    print_list(json_find(json_find(answer, "result"), "configOptions"), &got);
    CHECK_STR(buf_text(&got), str_of(expected));
    json_free(answer);
    buf_free(&got);
}

static void every_answer_has_the_whole_list(void) {
    Chooser c;
    chooser_open(&c, "{}");
    check_choice(&c, "grain", "\"value\":\"hunk\"", "mode=ask model=tiny grain=hunk");
    check_choice(&c, "mode", "\"value\":\"auto\"", "mode=auto model=tiny grain=hunk");
    check_choice(&c, "model", "\"value\":\"wise\"", "mode=auto model=wise grain=hunk thinking=on");
    check_choice(&c, "thinking", "\"value\":\"off\"", "mode=auto model=wise grain=hunk thinking=off");
    check_choice(&c, "grain", "\"value\":\"turn\"", "mode=auto model=wise grain=turn thinking=off");
    check_choice(&c, "model", "\"value\":\"mute\"", "mode=auto model=mute grain=turn");
    check_choice(&c, "model", "\"value\":\"wise\"", "mode=auto model=wise grain=turn thinking=off");
    chooser_close(&c);
}

static void thinking_is_a_boolean_where_clients_have_those(void) {
    Chooser c;
    chooser_open(&c, WITH_BOOLEANS);
    check_choice(&c, "model", "\"value\":\"wise\"", "mode=ask model=wise grain=turn thinking=true");
    check_choice(&c, "thinking", "\"type\":\"boolean\",\"value\":false",
                 "mode=ask model=wise grain=turn thinking=false");
    Json *answer = choose(&c, "thinking", "\"type\":\"boolean\",\"value\":true");
    const Json *list = json_find(json_find(answer, "result"), "configOptions");
    CHECK_STR(json_str(option_of(list, "thinking"), "type"), S("boolean"));
    CHECK_STR(json_str(option_of(list, "thinking"), "category"), S("thought_level"));
    CHECK_STR(json_str(option_of(list, "grain"), "category"), S("_review"));
    CHECK_STR(json_str(option_of(list, "model"), "category"), S("model"));
    CHECK_STR(json_str(json_find(option_of(list, "model"), "options")->child->next, "description"),
              S("it thinks"));
    json_free(answer);
    chooser_close(&c);
}

static void what_does_not_fit_is_refused(void) {
    static const struct {
        const char *option, *value, *field;
    } BAD[] = {
        {"mode", "\"value\":\"bold\"", "value"},
        {"mode", "\"value\":true", "value"},
        {"mode", "\"value\":7", "value"},
        {"mode", "\"other\":1", "value"},
        {"model", "\"value\":\"gone\"", "value"},
        {"model", "\"value\":\"\"", "value"},
        {"grain", "\"value\":\"letter\"", "value"},
        {"grain", "\"value\":null", "value"},
        {"thinking", "\"value\":\"on\"", "configId"},
        {"colour", "\"value\":\"red\"", "configId"},
    };
    Chooser c;
    chooser_open(&c, WITH_BOOLEANS);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        Json *answer = choose(&c, BAD[i].option, BAD[i].value);
        const Json *error = json_find(answer, "error");
        CHECK_MSG(json_int(error, "code", 0) == -32602, "case %zu", i);
        CHECK_STR(json_str(json_find(error, "data"), "field"), str_of(BAD[i].field));
        json_free(answer);
    }
    check_choice(&c, "model", "\"value\":\"wise\"", "mode=ask model=wise grain=turn thinking=true");
    Json *answer = choose(&c, "thinking", "\"value\":\"perhaps\"");
    CHECK_STR(json_str(json_find(json_find(answer, "error"), "data"), "field"), S("value"));
    json_free(answer);
    chooser_close(&c);
}

/* The next update of this kind. */
static Json *next_update(Chooser *c, const char *kind) {
    for (Json *message; (message = client_next(&c->client)); json_free(message))
        if (str_eq(json_str(json_find(json_find(message, "params"), "update"), "sessionUpdate"),
                   str_of(kind)))
            return message;
    return NULL;
}

static void both_ways_of_choosing_are_in_step(void) {
    Chooser c;
    Buf got = {0};
    chooser_open(&c, "{}");
    client_send(&c.client, str_printf(&c.client.arena,
                                      "{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"session/set_mode\","
                                      "\"params\":{\"sessionId\":\"%s\",\"modeId\":\"plan\"}}",
                                      c.session)
                               .ptr);
    json_free(client_answer(&c.client, "8"));
    Json *update = next_update(&c, "config_option_update");
    print_list(json_find(json_find(json_find(update, "params"), "update"), "configOptions"), &got);
    CHECK_STR(buf_text(&got), S("mode=plan model=tiny grain=turn"));
    json_free(update);
    json_free(choose(&c, "mode", "\"value\":\"ask\""));
    update = next_update(&c, "current_mode_update");
    CHECK_STR(json_str(json_find(json_find(update, "params"), "update"), "currentModeId"), S("ask"));
    json_free(update);
    buf_free(&got);
    chooser_close(&c);
}

static void a_loading_model_says_so(void) {
    const ModelCard *models;
    V1Choices choices = {.model = S("wise"), .is_loading = true, .configured = S("/else.gguf")};
    choices.model_count = three_models(NULL, &models);
    choices.models = models;
    Json *list = v1_config_options(&choices);
    const Json *options = json_find(option_of(list, "model"), "options");
    CHECK_INT(json_len(options), 4);
    CHECK_STR(json_str(options->child->next, "description"), S("Is being loaded"));
    CHECK_STR(json_str(options->child->next->next, "description"), S("/m.gguf"));
    json_free(list);
}

/* A session of the store may name a model that is not listed any more: it is still a choice, the current one.
 */
static void a_model_that_is_gone_stays_a_choice(void) {
    V1Choices choices = {.model = S("gone"), .configured = S("here")};
    Json *list = v1_config_options(&choices);
    const Json *model = option_of(list, "model");
    CHECK_STR(json_str(model, "currentValue"), S("gone"));
    CHECK_INT(json_len(json_find(model, "options")), 2);
    json_free(list);
}

static void what_a_turn_cost_is_said(void) {
    TurnUsage usage = {.prompt_tokens = 900,
                       .cached_tokens = 400,
                       .output_tokens = 30,
                       .context_used = 480,
                       .context_size = 8192,
                       .prompts = 2,
                       .budget = 6144};
    Str left_out[] = {S("a.c was too long")};
    Json *meta = v1_usage_meta(&usage, left_out, 1);
    CHECK(!json_find(meta, "firstDifference"));
    CHECK_INT(json_int(meta, "promptTokens", 0), 900);
    CHECK_INT(json_int(meta, "cachedTokens", 0), 400);
    CHECK_INT(json_int(meta, "budget", 0), 6144);
    CHECK_STR(json_str_value(json_find(meta, "leftOut")->child), left_out[0]);
    json_free(meta);
    usage.has_difference = true;
    usage.differs_at = 77;
    usage.differs_had = S("old words");
    usage.differs_has = S("new words");
    meta = v1_usage_meta(&usage, NULL, 0);
    CHECK_INT(json_int(json_find(meta, "firstDifference"), "at", 0), 77);
    CHECK_STR(json_str(json_find(meta, "firstDifference"), "has"), S("new words"));
    CHECK_INT(json_len(json_find(meta, "leftOut")), 0);
    json_free(meta);
}

static const TestCase CASES[] = {
    {"every answer has the whole list", every_answer_has_the_whole_list},
    {"thinking is a boolean where clients have those", thinking_is_a_boolean_where_clients_have_those},
    {"what does not fit is refused", what_does_not_fit_is_refused},
    {"both ways of choosing are in step", both_ways_of_choosing_are_in_step},
    {"a loading model says so", a_loading_model_says_so},
    {"a model that is gone stays a choice", a_model_that_is_gone_stays_a_choice},
    {"what a turn cost is said", what_a_turn_cost_is_said},
};
TEST_SUITE(ACP_OPTIONS_SUITE, "options", CASES);
