/* What can be chosen in a session: modes and config options. */
#include "acp/v1.h"

/* Indexed by ReviewMode. */
static const struct {
    const char *id, *name, *description;
} MODES[] = {
    {"ask", "Ask", "Asks before it writes a file"},
    {"auto", "Auto", "Writes at once; review the changes afterwards"},
    {"plan", "Plan", "Shows the changes and writes nothing"},
};
#define MODE_COUNT (sizeof MODES / sizeof *MODES)

const char *v1_mode_id(ReviewMode mode) {
    return MODES[mode].id;
}

bool v1_mode_of(Str id, ReviewMode *out) {
    for (size_t i = 0; i < MODE_COUNT; i++) {
        if (str_eq(id, str_of(MODES[i].id))) {
            *out = (ReviewMode)i;
            return true;
        }
    }
    return false;
}

Json *v1_modes(ReviewMode mode) {
    Json *modes = json_object();
    json_put_str(modes, "currentModeId", str_of(MODES[mode].id));
    Json *list = json_put_array(modes, "availableModes");
    for (size_t i = 0; i < MODE_COUNT; i++) {
        Json *item = json_object();
        json_put_str(item, "id", str_of(MODES[i].id));
        json_put_str(item, "name", str_of(MODES[i].name));
        json_put_str(item, "description", str_of(MODES[i].description));
        json_push(list, item);
    }
    return modes;
}

/* Indexed by ReviewGrain. */
static const struct {
    const char *id, *name, *description;
} GRAINS[] = {
    {"turn", "Whole turn", "One question about everything that a turn changes"},
    {"file", "File", "One question about each file"},
    {"hunk", "Hunk", "Each change of a file is kept or rejected by itself"},
};
#define GRAIN_COUNT (sizeof GRAINS / sizeof *GRAINS)

bool v1_grain_of(Str id, ReviewGrain *out) {
    for (size_t i = 0; i < GRAIN_COUNT; i++) {
        if (str_eq(id, str_of(GRAINS[i].id))) {
            *out = (ReviewGrain)i;
            return true;
        }
    }
    return false;
}

/* ---- the list ---- */

static Json *option_begin(Json *list, const char *id, const char *name, const char *category,
                          const char *type) {
    Json *option = json_object();
    json_put_str(option, "id", str_of(id));
    json_put_str(option, "name", str_of(name));
    json_put_str(option, "category", str_of(category));
    json_put_str(option, "type", str_of(type));
    json_push(list, option);
    return option;
}

static Json *select_begin(Json *list, const char *id, const char *name, const char *category, Str current) {
    Json *select = option_begin(list, id, name, category, "select");
    json_put_str(select, "currentValue", current);
    return json_put_array(select, "options");
}

static void push_choice(Json *options, Str value, Str name, Str description) {
    Json *option = json_object();
    json_put_str(option, "value", value);
    json_put_str(option, "name", name);
    if (description.len)
        json_put_str(option, "description", description);
    json_push(options, option);
}

static Str model_description(const ModelCard *card) {
    return card->description.len ? card->description
           : card->is_embedded   ? S("Built in: small edits such as renames and changed values")
           : card->is_scripted   ? S("Scripted, without a model: for trying things out")
                                 : card->path;
}

static const ModelCard *card_of(const V1Choices *choices, Str name) {
    for (size_t i = 0; i < choices->model_count; i++)
        if (str_eq(choices->models[i].name, name) ||
            (choices->models[i].path.len && str_eq(choices->models[i].path, name)))
            return &choices->models[i];
    return NULL;
}

bool v1_has_thinking(const V1Choices *choices) {
    const ModelCard *card = card_of(choices, choices->model);
    return card && card->has_thinking && !card->is_terse;
}

static void push_model(Json *options, const V1Choices *choices, Str name, Str description) {
    if (choices->is_loading && str_eq(name, choices->model))
        description = S("Is being loaded");
    push_choice(options, name, name, description);
}

static bool is_listed(const V1Choices *choices, Str name) {
    for (size_t i = 0; i < choices->model_count; i++)
        if (str_eq(choices->models[i].name, name))
            return true;
    return false;
}

/* Every name once; what is chosen is always among them. */
static void push_models(Json *list, const V1Choices *choices) {
    Str configured = choices->configured, model = choices->model;
    if (!choices->model_count && !configured.len && !model.len)
        return;
    Json *options = select_begin(list, "model", "Model", "model", model);
    for (size_t i = 0; i < choices->model_count; i++)
        push_model(options, choices, choices->models[i].name, model_description(&choices->models[i]));
    if (configured.len && !is_listed(choices, configured))
        push_model(options, choices, configured, S("The model this agent was started with"));
    if (model.len && !is_listed(choices, model) && !str_eq(model, configured))
        push_model(options, choices, model, S("The model this session was begun with"));
}

static void push_thinking(Json *list, const V1Choices *choices) {
    const char *help = "Whether the model thinks before it answers";
    if (!v1_has_thinking(choices))
        return;
    if (choices->takes_booleans) {
        Json *option = option_begin(list, "thinking", "Thinking", "thought_level", "boolean");
        json_put_str(option, "description", str_of(help));
        json_put_bool(option, "currentValue", !choices->is_terse);
        return;
    }
    Json *options =
        select_begin(list, "thinking", "Thinking", "thought_level", choices->is_terse ? S("off") : S("on"));
    push_choice(options, S("on"), S("On"), str_of(help));
    push_choice(options, S("off"), S("Off"), S("Answers at once"));
}

Json *v1_config_options(const V1Choices *choices) {
    Json *list = json_array();
    Json *options = select_begin(list, "mode", "Mode", "mode", str_of(MODES[choices->mode].id));
    for (size_t i = 0; i < MODE_COUNT; i++)
        push_choice(options, str_of(MODES[i].id), str_of(MODES[i].name), str_of(MODES[i].description));
    push_models(list, choices);
    options = select_begin(list, "grain", "Review by", "_review", str_of(GRAINS[choices->grain].id));
    for (size_t i = 0; i < GRAIN_COUNT; i++)
        push_choice(options, str_of(GRAINS[i].id), str_of(GRAINS[i].name), str_of(GRAINS[i].description));
    push_thinking(list, choices);
    return list;
}
