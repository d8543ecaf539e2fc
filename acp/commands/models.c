/* models: the registry. */
#include <string.h>

#include "acp/commands/commands.h"
#include "acp/house.h"

static Json *card_json(const ModelCard *card) {
    Json *json = json_object();
    json_put_str(json, "name", card->name);
    json_put_str(json, "path", card->path);
    json_put_str(json, "driver", card->driver);
    json_put_str(json, "architecture", card->architecture);
    json_put_str(json, "type", card->type);
    json_put_str(json, "chat_format", card->chat_format);
    json_put_str(json, "description", card->description);
    json_put_bool(json, "thinking", card->has_thinking && !card->is_terse);
    json_put_str(json, "style", card->style == PROMPT_LABELS ? S("labels") : S("full"));
    json_put_int(json, "parameters", (int64_t)card->parameters);
    json_put_int(json, "file_bytes", (int64_t)card->file_bytes);
    json_put_int(json, "context", (int64_t)card->context);
    json_put_bool(json, "embedded", card->is_embedded);
    json_put_bool(json, "scripted", card->is_scripted);
    return json;
}

static int list_models(House *house, bool as_json) {
    const ModelCard *cards = NULL;
    size_t count = engine_models(house->engine, &cards);
    if (as_json) {
        Json *json = json_object(), *items = json_put_array(json, "models");
        for (size_t i = 0; i < count; i++)
            json_push(items, card_json(&cards[i]));
        return command_print_json(json) ? STATUS_DONE : STATUS_FAILED;
    }
    for (size_t i = 0; i < count; i++)
        printf("%-24.*s %-8s %.*s\n", STR_ARG(cards[i].name),
               cards[i].is_embedded   ? "embedded"
               : cards[i].is_scripted ? "scripted"
                                      : "file",
               STR_ARG(cards[i].path));
    return STATUS_DONE;
}

static int show_model(House *house, const char *name, bool as_json) {
    Err err = {0};
    const ModelCard *card = engine_card(house->engine, str_of(name), &err);
    if (!card)
        return command_fail("models", STATUS_FAILED, &err);
    if (as_json)
        return command_print_json(card_json(card)) ? STATUS_DONE : STATUS_FAILED;
    printf(
        "name          %.*s\npath          %.*s\ndriver        %.*s\narchitecture  %.*s\ntype          %.*s\n"
        "chat format   %.*s\nparameters    %zu\nfile bytes    %zu\ncontext       %zu\n",
        STR_ARG(card->name), STR_ARG(card->path), STR_ARG(card->driver), STR_ARG(card->architecture),
        STR_ARG(card->type), STR_ARG(card->chat_format), card->parameters, card->file_bytes, card->context);
    return STATUS_DONE;
}

static int run(const Settings *settings) {
    const char *verb = settings->word_count ? settings->words[0] : "list";
    const char *name = settings->word_count > 1 ? settings->words[1] : NULL;
    bool is_list = strcmp(verb, "list") == 0, is_show = strcmp(verb, "show") == 0,
         is_scan = strcmp(verb, "scan") == 0;
    if (!(is_list && !name) && !((is_show || is_scan) && name))
        return command_usage(&COMMAND_MODELS, "list, show NAME or scan DIR");
    Settings local = *settings;
    if (is_scan)
        local.values[OPT_MODELS_DIR] = name;
    Err err = {0};
    House house;
    house_init(&house, &local);
    int status = STATUS_CANNOT_START;
    if (!house_engine(&house, &err))
        command_fail("models", status, &err);
    else
        status = is_show ? show_model(&house, name, settings_has(settings, OPT_JSON))
                         : list_models(&house, settings_has(settings, OPT_JSON));
    house_close(&house);
    return status;
}

const Command COMMAND_MODELS = {
    "models",
    "[list | show NAME | scan DIR] [--json]",
    "the models that can be named",
    OPTIONS_ENGINE | OPTION(JSON),
    run,
};
