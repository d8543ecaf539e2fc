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

static Json *select_begin(Json *list, const char *id, const char *name, Str current, Json **options) {
    Json *select = json_object();
    json_put_str(select, "id", str_of(id));
    json_put_str(select, "name", str_of(name));
    json_put_str(select, "category", str_of(id));
    json_put_str(select, "type", S("select"));
    json_put_str(select, "currentValue", current);
    *options = json_put_array(select, "options");
    json_push(list, select);
    return select;
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
    return card->is_embedded   ? S("Built in: small edits such as renames and changed values")
           : card->is_scripted ? S("Scripted, without a model: for trying things out")
                               : card->path;
}

Json *v1_config_options(const V1Choices *choices) {
    Json *list = json_array(), *options;
    select_begin(list, "mode", "Mode", str_of(MODES[choices->mode].id), &options);
    for (size_t i = 0; i < MODE_COUNT; i++)
        push_choice(options, str_of(MODES[i].id), str_of(MODES[i].name), str_of(MODES[i].description));
    if (!choices->model_count && !choices->configured.len)
        return list;
    select_begin(list, "model", "Model", choices->model, &options);
    bool has_configured = !choices->configured.len;
    for (size_t i = 0; i < choices->model_count; i++) {
        const ModelCard *card = &choices->models[i];
        push_choice(options, card->name, card->name, model_description(card));
        has_configured = has_configured || str_eq(card->name, choices->configured);
    }
    if (!has_configured)
        push_choice(options, choices->configured, choices->configured,
                    S("The model this agent was started with"));
    return list;
}
