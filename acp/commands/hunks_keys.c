/* The keys of the dialog: deciding, moving, searching, splitting, editing. */
#define _GNU_SOURCE
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "acp/commands/hunks_internal.h"

/* ---- moving between the hunks ---- */

/* The first undecided part of [from, to), or `to`. */
static size_t undecided(const FileChoice *choice, size_t from, size_t to) {
    while (from < to && choice->parts[from].use != HUNK_UNDECIDED)
        from++;
    return from;
}

/* The last undecided part before `at`, or STR_NONE. */
static size_t undecided_before(const FileChoice *choice, size_t at) {
    while (at-- > 0)
        if (choice->parts[at].use == HUNK_UNDECIDED)
            return at;
    return STR_NONE;
}

/* What a key leaves to do: show the part that is asked about, only ask again, or nothing more for this file.
 */
typedef enum Step { STEP_SHOW, STEP_ASK, STEP_OVER } Step;

static Step go_on(FileChoice *choice) {
    size_t next = undecided(choice, choice->at + 1, choice->count);
    if (next == choice->count)
        next = undecided(choice, 0, choice->count);
    if (next == choice->count)
        return STEP_OVER;
    choice->at = next;
    return STEP_SHOW;
}

static Step decide(FileChoice *choice, HunkUse use) {
    choice->parts[choice->at].use = use;
    return go_on(choice);
}

static Step decide_rest(FileChoice *choice, HunkUse use) {
    choice->parts[choice->at].use = use;
    for (size_t i = choice->at + 1; i < choice->count; i++)
        if (choice->parts[i].use == HUNK_UNDECIDED)
            choice->parts[i].use = use;
    return go_on(choice);
}

static Step go_to(FileChoice *choice, size_t part) {
    choice->at = part;
    return STEP_SHOW;
}

static Step input_ended(FileChoice *choice, LineEnd end) {
    choice_quit(choice, end);
    return STEP_OVER;
}

/* ---- g and / ---- */

enum { LISTED_AT_ONCE = 20 };

static Step choose_by_number(FileChoice *choice, Str number) {
    for (size_t from = 0; number.len == 0; from += LISTED_AT_ONCE) {
        if (from >= choice->count)
            from = 0;
        for (size_t i = from; i < choice->count && i < from + LISTED_AT_ONCE; i++)
            show_summary(choice, i);
        bool has_more = choice->count > LISTED_AT_ONCE;
        LineEnd end =
            dialog_line(choice->dialog, has_more ? "go to which hunk (empty: more)? " : "go to which hunk? ",
                        choice->arena, &number);
        if (end != LINE_READ)
            return input_ended(choice, end);
        if (!has_more && number.len == 0)
            return STEP_ASK;
    }
    char *end;
    unsigned long wanted = strtoul(str_cstr(choice->arena, number), &end, 10);
    if (*end || number.ptr[0] < '0' || number.ptr[0] > '9')
        dialog_say(choice->dialog, "\"%.80s\" is not a number.\n", str_cstr(choice->arena, number));
    else if (wanted < 1 || wanted > choice->count)
        dialog_say(choice->dialog, "There %s only %zu hunk%s.\n", choice->count == 1 ? "is" : "are",
                   choice->count, choice->count == 1 ? "" : "s");
    else
        return go_to(choice, wanted - 1);
    return STEP_ASK;
}

static bool part_matches(const FileChoice *choice, size_t part, const regex_t *pattern) {
    Arena scratch = {0};
    Section section;
    Buf text = {0};
    section_read(&choice->hunks, choice->parts[part].first, choice->parts[part].last, HUNK_CONTEXT, &scratch,
                 &section);
    section_print(&section, &text);
    buf_char(&text, 0);
    bool matches = !text.failed && regexec(pattern, text.ptr, 0, NULL, 0) == 0;
    buf_free(&text);
    arena_free(&scratch);
    return matches;
}

/* The next hunk with a match, once around; the one that is asked about comes last. */
static Step search(FileChoice *choice, Str words) {
    if (words.len == 0) {
        LineEnd end =
            dialog_line(choice->dialog, "search for which regular expression? ", choice->arena, &words);
        if (end != LINE_READ)
            return input_ended(choice, end);
        if (words.len == 0)
            return STEP_ASK;
    }
    regex_t pattern;
    int failed = regcomp(&pattern, str_cstr(choice->arena, words), REG_EXTENDED | REG_NEWLINE | REG_NOSUB);
    if (failed) {
        char why[200];
        regerror(failed, &pattern, why, sizeof why);
        dialog_say(choice->dialog, "This is no regular expression: %s\n", why);
        return STEP_ASK;
    }
    size_t found = STR_NONE;
    for (size_t i = 1; i <= choice->count && found == STR_NONE; i++)
        if (part_matches(choice, (choice->at + i) % choice->count, &pattern))
            found = (choice->at + i) % choice->count;
    regfree(&pattern);
    if (found != STR_NONE)
        return go_to(choice, found);
    dialog_say(choice->dialog, "No hunk matches.\n");
    return STEP_ASK;
}

/* ---- s and e ---- */

/* One part for each change of the part that is asked about, all undecided. */
static Step split(FileChoice *choice) {
    HunkPart part = choice->parts[choice->at];
    size_t more = part.last - part.first;
    if (more == 0) {
        dialog_say(choice->dialog, "This hunk is a single change and cannot be split.\n");
        return STEP_ASK;
    }
    HunkPart *parts = ARENA_ARRAY(choice->arena, HunkPart, choice->count + more);
    memcpy(parts, choice->parts, choice->at * sizeof *parts);
    for (size_t i = 0; i <= more; i++)
        parts[choice->at + i] = (HunkPart){part.first + i, part.first + i, HUNK_UNDECIDED};
    memcpy(parts + choice->at + more + 1, choice->parts + choice->at + 1,
           (choice->count - choice->at - 1) * sizeof *parts);
    choice->parts = parts;
    choice->count += more;
    dialog_say(choice->dialog, "Split into %zu hunks.\n", more + 1);
    return STEP_SHOW;
}

static Step edit(FileChoice *choice) {
    switch (edit_part(choice)) {
    case EDIT_DONE: return go_on(choice);
    case EDIT_STOPPED: return input_ended(choice, LINE_STOPPED);
    case EDIT_LEFT: break;
    }
    return STEP_ASK;
}

/* ---- the keys ---- */

static const struct {
    char key;
    const char *help;
} HUNK_KEYS[] = {
    {'y', "apply this hunk"},
    {'n', "leave this hunk out"},
    {'q', "quit: leave out this hunk and all that is undecided, in this file and the ones that follow"},
    {'a', "apply this hunk and all later undecided ones of this file"},
    {'d', "leave out this hunk and all later undecided ones of this file"},
    {'j', "leave this hunk undecided, show the next undecided one"},
    {'J', "leave this hunk undecided, show the next one"},
    {'k', "leave this hunk undecided, show the undecided one before"},
    {'K', "leave this hunk undecided, show the one before"},
    {'g', "choose a hunk to go to"},
    {'/', "search for a hunk that matches a regular expression"},
    {'s', "split this hunk into its single changes"},
    {'e', "edit this hunk in your editor"},
    {'p', "show this hunk again"},
    {'?', "show this help"},
};

static bool is_offered(const FileChoice *choice, char key) {
    switch (key) {
    case 'j': return undecided(choice, choice->at + 1, choice->count) < choice->count;
    case 'J': return choice->at + 1 < choice->count;
    case 'k': return undecided_before(choice, choice->at) != STR_NONE;
    case 'K': return choice->at > 0;
    case 'g':
    case '/': return choice->count > 1;
    case 's': return choice->parts[choice->at].first < choice->parts[choice->at].last;
    default: return true;
    }
}

static void show_help(const FileChoice *choice) {
    for (size_t i = 0; i < sizeof HUNK_KEYS / sizeof *HUNK_KEYS; i++)
        if (is_offered(choice, HUNK_KEYS[i].key))
            dialog_say(choice->dialog, "%c - %s\n", HUNK_KEYS[i].key, HUNK_KEYS[i].help);
}

static Step refuse_key(FileChoice *choice, char key) {
    static const struct {
        char key;
        const char *why;
    } REASONS[] = {{'j', "No undecided hunk follows."},       {'J', "No hunk follows."},
                   {'k', "No undecided hunk stands before."}, {'K', "No hunk stands before."},
                   {'g', "There is no other hunk."},          {'/', "There is no other hunk."}};
    for (size_t i = 0; i < sizeof REASONS / sizeof *REASONS; i++)
        if (REASONS[i].key == key) {
            dialog_say(choice->dialog, "%s\n", REASONS[i].why);
            return STEP_ASK;
        }
    show_help(choice);
    return STEP_ASK;
}

static Step take_key(FileChoice *choice, char key, Str rest) {
    if (!is_offered(choice, key) && key != 's')
        return refuse_key(choice, key);
    switch (key) {
    case 'y': return decide(choice, HUNK_KEPT);
    case 'n': return decide(choice, HUNK_DROPPED);
    case 'q': return input_ended(choice, LINE_READ);
    case 'a': return decide_rest(choice, HUNK_KEPT);
    case 'd': return decide_rest(choice, HUNK_DROPPED);
    case 'j': return go_to(choice, undecided(choice, choice->at + 1, choice->count));
    case 'J': return go_to(choice, choice->at + 1);
    case 'k': return go_to(choice, undecided_before(choice, choice->at));
    case 'K': return go_to(choice, choice->at - 1);
    case 'g': return choose_by_number(choice, rest);
    case '/': return search(choice, rest);
    case 's': return split(choice);
    case 'e': return edit(choice);
    case 'p': return STEP_SHOW;
    default: return refuse_key(choice, key);
    }
}

static const char *hunk_prompt(const FileChoice *choice) {
    Buf keys = {0};
    for (size_t i = 0; i < sizeof HUNK_KEYS / sizeof *HUNK_KEYS; i++)
        if (is_offered(choice, HUNK_KEYS[i].key))
            buf_printf(&keys, "%s%c", keys.len ? "," : "", HUNK_KEYS[i].key);
    Str text = str_printf(choice->arena, "(%zu/%zu) Apply this hunk [%.*s]? ", choice->at + 1, choice->count,
                          (int)keys.len, keys.ptr);
    buf_free(&keys);
    return text.ptr;
}

void ask_about_hunks(FileChoice *choice) {
    for (Step step = STEP_SHOW; step != STEP_OVER;) {
        if (step == STEP_SHOW)
            show_part(choice, choice->at);
        Str line;
        LineEnd end = dialog_line(choice->dialog, hunk_prompt(choice), choice->arena, &line);
        if (end != LINE_READ) {
            step = input_ended(choice, end);
        } else if (line.len == 0) {
            step = STEP_ASK;
        } else if (line.len > 1 && line.ptr[0] != 'g' && line.ptr[0] != '/') {
            dialog_say(choice->dialog, "Please answer with one letter.\n");
            step = STEP_ASK;
        } else {
            step = take_key(choice, line.ptr[0], str_trim(str_from(line, 1)));
        }
    }
}
