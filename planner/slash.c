#include "planner/slash.h"

#include <string.h>

const SlashCommand *const SLASH_COMMANDS[] = {
    &SLASH_UNDO,  &SLASH_DIFF,    &SLASH_MAP,    &SLASH_SEARCH, &SLASH_FILES,
    &SLASH_MODEL, &SLASH_COMPACT, &SLASH_REWIND, &SLASH_STATUS, &SLASH_HELP,
};
const size_t SLASH_COUNT = sizeof SLASH_COMMANDS / sizeof *SLASH_COMMANDS;

/* ---- finding ---- */

static bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static void list_commands(Buf *out) {
    for (size_t i = 0; i < SLASH_COUNT; i++) {
        const CommandInfo *info = &SLASH_COMMANDS[i]->info;
        buf_printf(out, "- `/%s%s%s`: %s\n", info->name, info->hint ? " " : "", info->hint ? info->hint : "",
                   info->description);
    }
}

static bool run_unknown(Turn *turn, Str rest, Err *err) {
    (void)err;
    Buf out = {0};
    buf_printf(&out, "There is no command `/%.*s`. These there are:\n\n", STR_ARG(str_slice(rest, 0, 40)));
    list_commands(&out);
    return slash_say(turn, &out);
}

static const SlashCommand SLASH_UNKNOWN = {{"unknown", "says which commands there are", NULL}, run_unknown};

const SlashCommand *slash_find(Str prompt, Str *rest) {
    prompt = str_trim(prompt);
    size_t end = 1;
    if (!str_starts(prompt, S("/")))
        return NULL;
    while (end < prompt.len && is_name_char(prompt.ptr[end]))
        end++;
    bool is_alone = end == prompt.len;
    if (end == 1 || (!is_alone && !strchr(" \t\r\n", prompt.ptr[end])))
        return NULL;
    Str name = str_slice(prompt, 1, end);
    *rest = str_trim(str_from(prompt, end));
    for (size_t i = 0; i < SLASH_COUNT; i++)
        if (str_eq(name, str_of(SLASH_COMMANDS[i]->info.name)))
            return SLASH_COMMANDS[i];
    *rest = name;
    return is_alone ? &SLASH_UNKNOWN : NULL;
}

static CommandInfo infos[sizeof SLASH_COMMANDS / sizeof *SLASH_COMMANDS];
static pthread_once_t infos_once = PTHREAD_ONCE_INIT;

static void fill_infos(void) {
    for (size_t i = 0; i < SLASH_COUNT; i++)
        infos[i] = SLASH_COMMANDS[i]->info;
}

size_t planner_commands(const CommandInfo **out) {
    pthread_once(&infos_once, fill_infos);
    *out = infos;
    return SLASH_COUNT;
}

/* ---- for the commands ---- */

bool slash_open(Turn *turn, bool read_only, Err *err) {
    turn->ws = session_workspace(turn->session, read_only, err);
    return turn->ws != NULL;
}

bool slash_say(Turn *turn, Buf *text) {
    turn_text(turn, buf_text(text));
    buf_free(text);
    return true;
}

void slash_fence(Buf *out, const char *language, Str text) {
    size_t longest = 2, run = 0;
    for (size_t i = 0; i < text.len; i++) {
        run = text.ptr[i] == '`' ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    buf_repeat(out, '`', longest + 1);
    buf_printf(out, "%s\n", language);
    buf_str(out, text);
    if (text.len && !str_ends(text, S("\n")))
        buf_char(out, '\n');
    buf_repeat(out, '`', longest + 1);
    buf_char(out, '\n');
}

bool slash_number(Str rest, size_t otherwise, size_t *out, Err *err) {
    size_t n = 0;
    for (size_t i = 0; i < rest.len; i++) {
        if (rest.ptr[i] < '0' || rest.ptr[i] > '9' || i >= 9)
            return err_set(err, ERR_INVALID, "\"%.*s\" is no whole number",
                           (int)(rest.len < 40 ? rest.len : 40), rest.ptr);
        n = n * 10 + (size_t)(rest.ptr[i] - '0');
    }
    *out = rest.len ? n : otherwise;
    return true;
}

/* ---- /help ---- */

static bool run_help(Turn *turn, Str rest, Err *err) {
    (void)rest, (void)err;
    Buf out = {0};
    buf_cstr(&out, "Say in a sentence what to change or what you want to know. A message may also be one of "
                   "these commands:\n\n");
    list_commands(&out);
    return slash_say(turn, &out);
}

const SlashCommand SLASH_HELP = {{"help", "lists the commands", NULL}, run_help};
