/* The labels style, for mux-tiny: one small excerpt per question, its lines labelled; every answer is checked
 * exactly, line by line, and asked for again in another way until it is right or the ways are used up. Only
 * text that the model wrote is ever taken. */
#include <stdlib.h>
#include <string.h>

#include "planner/line_check.h"
#include "planner/targets.h"

/* Trained on excerpts of 4-30 lines, labels 1-40, prompt and answer together below 600 tokens. */
enum {
    MOST_LINES = 30,
    MOST_PROMPT_TOKENS = 420,
    MOST_ANSWER_TOKENS = 420,
    MOST_LINE_BYTES = 400,
    MOST_DRAWS = 16
};

typedef struct Attempt {
    LabelMode mode;
    size_t around;  /* lines of context above and below the target */
    bool own_words; /* the user's words instead of the canonical ones */
    float temperature;
} Attempt;

/* The old line is copied but for names the request holds: anchored decoding first. */
static const Attempt COPYING[] = {
    {LABELS_ANCHORED, 4, false, 0}, {LABELS_ANCHORED, 1, false, 0}, {LABELS_STRICT, 4, false, 0},
    {LABELS_ANCHORED, 0, true, 0},  {LABELS_GUIDED, 4, false, 0},   {LABELS_STRICT, 1, false, 0},
    {LABELS_STRICT, 9, true, 0},    {LABELS_FREE, 3, false, 0},     {LABELS_GUIDED, 8, false, 0},
};
/* New text that is in the request only: free decoding first. */
static const Attempt WRITING[] = {
    {LABELS_FREE, 6, false, 0},    {LABELS_STRICT, 6, false, 0}, {LABELS_ANCHORED, 3, false, 0},
    {LABELS_FREE, 2, false, 0},    {LABELS_GUIDED, 3, false, 0}, {LABELS_FREE, 10, true, 0},
    {LABELS_ANCHORED, 1, true, 0}, {LABELS_FREE, 3, true, 0},    {LABELS_STRICT, 1, false, 0},
    {LABELS_GUIDED, 1, true, 0},   {LABELS_FREE, 0, false, 0},
};
/* Lines that go: the answer is a bare label, which anchored decoding would not favour. */
static const Attempt REMOVING[] = {
    {LABELS_STRICT, 4, false, 0}, {LABELS_GUIDED, 4, false, 0}, {LABELS_STRICT, 9, true, 0},
    {LABELS_FREE, 3, false, 0},   {LABELS_STRICT, 1, false, 0}, {LABELS_FREE, 6, true, 0},
};
/* Nothing exact to check against: few tries, the user's own words. */
static const Attempt GUESSING[] = {{LABELS_FREE, 10, true, 0}, {LABELS_GUIDED, 6, true, 0}};

typedef struct AttemptList {
    const Attempt *items;
    size_t count;
} AttemptList;

#define ATTEMPTS(table) ((AttemptList){table, sizeof(table) / sizeof *(table)})

static AttemptList attempts_for(const Request *r) {
    switch (r->intent) {
    case INTENT_RENAME: return ATTEMPTS(COPYING);
    case INTENT_REMOVE: return ATTEMPTS(REMOVING);
    case INTENT_REPLACE: return r->is_calls ? ATTEMPTS(COPYING) : ATTEMPTS(WRITING);
    case INTENT_OTHER: return ATTEMPTS(GUESSING);
    default: return ATTEMPTS(WRITING);
    }
}

/* The i-th way to ask; false when all are used up. Behind the table come drawn answers: cheap, and the checks
 * are exact. */
static bool next_attempt(const Request *r, size_t i, Attempt *out) {
    AttemptList table = attempts_for(r);
    if (i < table.count) {
        *out = table.items[i];
        return true;
    }
    size_t draw = i - table.count;
    if (r->intent == INTENT_OTHER || draw >= MOST_DRAWS)
        return false;
    static const LabelMode MODES[] = {LABELS_ANCHORED, LABELS_STRICT, LABELS_GUIDED, LABELS_FREE};
    *out = (Attempt){MODES[draw % 4], draw % 5, draw % 4 == 3, 0.5f + 0.1f * (float)(draw % 6)};
    return true;
}

/* ---- one question ---- */

typedef struct Excerpt {
    size_t first, count; /* lines of the file */
    Str text;
} Excerpt;

static bool line_is_usable(const LineText *line) {
    return !line->is_deleted && line->text.len <= MOST_LINE_BYTES && !str_contains(line->text, S("<|")) &&
           str_find_char(line->text, '\n', 0) == STR_NONE && !memchr(line->text.ptr, 0, line->text.len);
}

static bool count_tokens(Turn *turn, Str text, size_t *tokens, Err *err) {
    return chat_count(turn->chat, text, tokens, err);
}

/* The target with up to `around` usable lines on both sides, within the model's limits. */
static bool cut_excerpt(Turn *turn, const FileTargets *t, size_t target, size_t around, Excerpt *out,
                        Err *err) {
    if (around > (MOST_LINES - 1) / 2)
        around = (MOST_LINES - 1) / 2;
    for (;; around--) {
        size_t first = target, last = target;
        while (first > 0 && target - first < around && line_is_usable(&t->lines[first - 1]))
            first--;
        while (last + 1 < t->line_count && last - target < around && line_is_usable(&t->lines[last + 1]))
            last++;
        Buf text = {0};
        for (size_t i = first; i <= last; i++) {
            if (i > first)
                buf_char(&text, '\n');
            buf_str(&text, t->lines[i].text);
        }
        size_t tokens = 0;
        bool ok = count_tokens(turn, buf_text(&text), &tokens, err);
        *out = (Excerpt){first, last - first + 1, buf_copy(&text, &turn->arena)};
        buf_free(&text);
        if (!ok)
            return false;
        if (tokens + 2 * out->count <= MOST_PROMPT_TOKENS || around == 0)
            return tokens + 2 * out->count <= MOST_PROMPT_TOKENS
                       ? true
                       : err_set(err, ERR_LIMIT, "the line is too long for this model");
    }
}

static bool collect_text(void *ctx, Str piece) {
    edit_feed(ctx, piece);
    return true;
}

/* Asks once. False on failures of the engine or a cancel; an unusable answer gives an empty list. */
static bool ask(Turn *turn, const FileTargets *t, const Target *target, const Excerpt *excerpt,
                const Attempt *attempt, uint64_t seed, EditList *answer, Err *err) {
    const Request *r = &turn->request;
    Str words = attempt->own_words || r->canonical.len == 0 ? r->instruction
                : target->question.len                      ? target->question
                                                            : r->canonical;
    Buf prompt = {0};
    prompt_labels(words, t->file->path.relative, excerpt->text, 1, &prompt);
    *answer = (EditList){0};
    bool ok = chat_sync_text(turn->chat, buf_text(&prompt), err);
    buf_free(&prompt);
    if (!ok)
        return false;
    GrammarSpec grammar = {.form = FORM_LABELS,
                           .excerpt = excerpt->text,
                           .request = words,
                           .label_mode = attempt->mode,
                           .first_label = 1};
    Sampling sampling = {.temperature = attempt->temperature, .seed = seed, .max_tokens = MOST_ANSWER_TOKENS};
    EditParser parser;
    edit_begin(&parser, EDIT_LABELS, &turn->arena);
    Usage usage = {0};
    ok = chat_generate(turn->chat, &sampling, &grammar, (ChatSink){.ctx = &parser, .text = collect_text},
                       &usage, err);
    turn_add_usage(turn, &usage);
    Err malformed = {0};
    if (ok && !edit_finish(&parser, answer, &malformed))
        *answer = (EditList){0};
    return ok;
}

/* ---- taking an answer ---- */

static Target *target_of_line(FileTargets *t, size_t line) {
    for (size_t i = 0; i < t->count; i++)
        if (t->items[i].line == line)
            return &t->items[i];
    return NULL;
}

static Str without_final_newline(Str s) {
    return str_ends(s, S("\n")) ? str_slice(s, 0, s.len - 1) : s;
}

static bool is_request_word_kept(const Request *r, const EditList *answer) {
    for (size_t w = 0; w < r->word_count; w++) {
        if (!r->words[w].is_quoted)
            continue;
        for (size_t i = 0; i < answer->count; i++)
            if (str_contains(answer->items[i].new_text, r->words[w].text))
                return true;
    }
    return false;
}

/* A request of no known form: a small change that keeps to what the request quotes, all of it or none. */
static bool take_guess(Turn *turn, FileTargets *t, const Excerpt *excerpt, const EditList *answer) {
    if (answer->count == 0 || answer->count > 4 || !is_request_word_kept(&turn->request, answer))
        return false;
    for (size_t i = 0; i < answer->count; i++) {
        const Edit *edit = &answer->items[i];
        size_t index = (size_t)(edit->label - 1);
        if (index >= excerpt->count)
            return false;
        LineEdit line = {t->lines[excerpt->first + index].text, without_final_newline(edit->new_text),
                         edit->new_text.len == 0};
        if (!line_edit_is_right(&turn->request, &line))
            return false;
    }
    for (size_t i = 0; i < answer->count; i++) {
        LineText *line = &t->lines[excerpt->first + (size_t)(answer->items[i].label - 1)];
        line->is_deleted = answer->items[i].new_text.len == 0;
        line->text = str_copy(&turn->arena, without_final_newline(answer->items[i].new_text));
        line->is_edited = true;
    }
    for (size_t i = 0; i < t->count; i++)
        t->items[i].is_done = true;
    return true;
}

/* Takes the lines of the answer that are targets and right; anything else in it is dropped. */
static void take_answer(Turn *turn, FileTargets *t, const Excerpt *excerpt, const EditList *answer) {
    if (turn->request.intent == INTENT_OTHER) {
        take_guess(turn, t, excerpt, answer);
        return;
    }
    for (size_t i = 0; i < answer->count; i++) {
        const Edit *edit = &answer->items[i];
        size_t index = (size_t)(edit->label - 1);
        if (edit->label < 1 || index >= excerpt->count)
            continue;
        LineText *line = &t->lines[excerpt->first + index];
        Target *target = target_of_line(t, excerpt->first + index);
        LineEdit check = {line->text, without_final_newline(edit->new_text), edit->new_text.len == 0};
        if (!target || target->is_done || !line_edit_is_right(&turn->request, &check))
            continue;
        line->is_deleted = check.is_deleted;
        line->is_edited = true;
        line->text = str_copy(&turn->arena, check.new_text);
        target->is_done = true;
    }
}

/* ---- one file ---- */

/* The value that stands behind the target's sign now: a literal or a word; empty when it is more. */
static Str current_value(const Request *r, Str line) {
    size_t at;
    if (!line_assigns(line, r->target, &at))
        return S("");
    Str value = str_trim(str_from(line, at));
    if (value.len == 0)
        return value;
    size_t end = 1;
    if (strchr("\"'`", value.ptr[0])) {
        end = str_find_char(value, value.ptr[0], 1);
        return end == STR_NONE ? S("") : str_slice(value, 0, end + 1);
    }
    while (end < value.len && !strchr(" \t,;)]}#", value.ptr[end]))
        end++;
    return str_slice(value, 0, end);
}

/* What is better known to the model than the request's own form: the old value beside the new one, a line to
 * insert where the parameters stand one by one. */
static void phrase_question(Turn *turn, const FileTargets *t, Target *target) {
    const Request *r = &turn->request;
    Str line = str_trim(t->lines[target->line].text);
    Str value = r->intent == INTENT_SET && r->from.len == 0 ? current_value(r, line) : S("");
    if (value.len && value.len < 80) {
        bool bare = strchr("\"'", value.ptr[0]) && r->to.len && !strchr("\"'", r->to.ptr[0]);
        if (bare && value.len > 2)
            value = str_slice(value, 1, value.len - 1);
        target->question = str_printf(&turn->arena, "Change `%.*s` from %.*s to %.*s", STR_ARG(r->target),
                                      STR_ARG(value), STR_ARG(r->to));
    }
    if (r->intent == INTENT_PARAM && str_ends(line, S(",")))
        target->question =
            str_printf(&turn->arena, "Insert `%.*s,` after `%.*s`", STR_ARG(r->to), STR_ARG(line));
}

/* A value that is what it shall be already. */
static bool is_settled(Turn *turn, const FileTargets *t, const Target *target) {
    const Request *r = &turn->request;
    if (r->intent != INTENT_SET || r->to.len == 0)
        return false;
    Str value = current_value(r, t->lines[target->line].text);
    bool quoted = value.len == r->to.len + 2 && strchr("\"'", value.ptr[0]) &&
                  str_eq(str_slice(value, 1, value.len - 1), r->to);
    if (!str_eq(value, r->to) && !quoted)
        return false;
    turn_problem(turn, str_printf(&turn->arena, "%.*s is %.*s already (%.*s:%zu)", STR_ARG(r->target),
                                  STR_ARG(r->to), STR_ARG(t->file->path.relative), target->line + 1));
    return true;
}

static bool work_target(Turn *turn, FileTargets *t, Target *target, Err *err) {
    Attempt attempt;
    if (is_settled(turn, t, target))
        return true;
    phrase_question(turn, t, target);
    for (size_t i = 0; !target->is_done && next_attempt(&turn->request, i, &attempt); i++) {
        if (turn_is_cancelled(turn))
            return err_set(err, ERR_CANCELLED, "cancelled");
        Excerpt excerpt;
        EditList answer;
        Err why = {0};
        if (!line_is_usable(&t->lines[target->line]) ||
            !cut_excerpt(turn, t, target->line, attempt.around, &excerpt, &why)) {
            turn_problem(turn, str_printf(&turn->arena,
                                          "%.*s:%zu is too long or holds signs this small model cannot read",
                                          STR_ARG(t->file->path.relative), target->line + 1));
            return true;
        }
        uint64_t seed = turn->session->planner->config.seed + i + 1;
        if (!ask(turn, t, target, &excerpt, &attempt, seed, &answer, err))
            return false;
        take_answer(turn, t, &excerpt, &answer);
    }
    if (!target->is_done && turn->request.intent == INTENT_RENAME && !target->is_code &&
        t->file->language != LANGUAGE_NONE)
        turn_thought(turn, str_printf(&turn->arena, "%.*s:%zu mentions the old name and stays as it is.\n",
                                      STR_ARG(t->file->path.relative), target->line + 1));
    else if (!target->is_done)
        turn_problem(turn, str_printf(&turn->arena,
                                      "%.*s:%zu: the model found no edit that passes the checks (%.*s)",
                                      STR_ARG(t->file->path.relative), target->line + 1,
                                      STR_ARG(str_slice(str_trim(t->lines[target->line].text), 0, 80))));
    return true;
}

/* Texts that had errors before are judged by their number. */
static bool is_syntax_worse(Turn *turn, const FileWork *file, SyntaxErrors *worse) {
    SyntaxErrors before = {0}, after = {0};
    if (!syntax_is_worse(file->language, file->seen.text, file->new_text, &turn->arena, worse))
        return false;
    bool counted = syntax_errors(file->language, file->seen.text, &turn->arena, &before, NULL) &&
                   syntax_errors(file->language, file->new_text, &turn->arena, &after, NULL);
    return !counted || before.count == 0 || after.count > before.count;
}

static bool work_file(Turn *turn, FileTargets *t, Err *err) {
    for (size_t i = t->count; i-- > 0;) /* from the end, so that lines above keep their numbers */
        if (!t->items[i].is_done && !work_target(turn, t, &t->items[i], err))
            return false;
    t->file->new_text = targets_join(t, &turn->arena);
    SyntaxErrors worse;
    if (is_syntax_worse(turn, t->file, &worse))
        turn_problem(turn, str_printf(&turn->arena, "%.*s would no longer parse at line %zu (%.*s)",
                                      STR_ARG(t->file->path.relative), worse.first_line + 1,
                                      STR_ARG(str_slice(str_trim(worse.first_text), 0, 80))));
    size_t done = 0;
    for (size_t i = 0; i < t->count; i++)
        done += t->items[i].is_done;
    t->file->rationale = str_printf(&turn->arena, "%zu of %zu place%s changed for: %.*s", done, t->count,
                                    t->count == 1 ? "" : "s", STR_ARG(turn->request.instruction));
    turn_thought(turn, str_printf(&turn->arena, "%.*s: %zu of %zu places done.\n",
                                  STR_ARG(t->file->path.relative), done, t->count));
    return true;
}

/* ---- the whole ---- */

static bool is_target_line(const FileTargets *file, size_t line) {
    for (size_t i = 0; i < file->count; i++)
        if (file->items[i].line == line)
            return true;
    return false;
}

/* The innermost function around a line; NULL at file level. The first line belongs to what is outside, too:
 * the name of the function stands there. */
static const Symbol *function_around(const SymbolList *symbols, size_t line) {
    const Symbol *found = NULL;
    for (size_t s = 0; s < symbols->count; s++) {
        const Symbol *symbol = &symbols->items[s];
        if (symbol->kind == SYMBOL_FUNCTION && symbol->first_line <= line && line <= symbol->last_line)
            found = symbol;
    }
    return found;
}

/* The new name must not be in use where the old one is: two things would become one. */
static void check_capture(Turn *turn, const FileTargets *file, const SymbolList *symbols) {
    const Request *r = &turn->request;
    OccurrenceList old_name, new_name;
    Str text = file->file->seen.text;
    if (file->file->language == LANGUAGE_NONE ||
        !syntax_occurrences(file->file->language, text, r->from, &turn->arena, &old_name, NULL) ||
        !syntax_occurrences(file->file->language, text, r->to, &turn->arena, &new_name, NULL))
        return;
    for (size_t n = 0; n < new_name.count; n++)
        for (size_t o = 0; o < old_name.count; o++) {
            const Occurrence *a = &old_name.items[o], *b = &new_name.items[n];
            if (a->is_member || b->is_member || !is_target_line(file, a->line))
                continue;
            const Symbol *here = function_around(symbols, a->line),
                         *there = function_around(symbols, b->line);
            bool is_head = a->is_definition && here && here->name_begin == a->begin;
            if (is_head ? here->depth > 0 : here && here != there)
                continue; /* a method is reached through its object only */
            turn_problem(turn,
                         str_printf(&turn->arena, "%.*s:%zu already uses the name %.*s; choose another name",
                                    STR_ARG(file->file->path.relative), b->line + 1, STR_ARG(r->to)));
            return;
        }
}

/* The new name must not mean something already; known before the model is asked. */
static void check_new_name(Turn *turn, const FileTargets *files, size_t count) {
    const Request *r = &turn->request;
    for (size_t f = 0; f < count; f++) {
        const FileWork *file = files[f].file;
        SymbolList symbols = {0};
        if (!syntax_symbols(file->language, file->seen.text, &turn->arena, &symbols, NULL))
            continue;
        size_t before = turn->problem_count;
        for (size_t s = 0; s < symbols.count; s++)
            if (str_eq(symbols.items[s].name, r->to))
                turn_problem(turn,
                             str_printf(&turn->arena, "%.*s:%zu already defines %.*s; choose another name",
                                        STR_ARG(file->path.relative), symbols.items[s].first_line + 1,
                                        STR_ARG(r->to)));
        if (turn->problem_count == before)
            check_capture(turn, &files[f], &symbols);
    }
}

/* The old name must be gone from the code. */
static void check_old_name(Turn *turn, const FileTargets *files, size_t count) {
    const Request *r = &turn->request;
    for (size_t f = 0; f < count && turn->problem_count == 0; f++) {
        const FileWork *file = files[f].file;
        OccurrenceList left = {0};
        if (!syntax_occurrences(file->language, file->new_text, r->from, &turn->arena, &left, NULL))
            continue;
        for (size_t i = 0; i < left.count && turn->problem_count == 0; i++)
            if (is_target_line(&files[f], left.items[i].line))
                turn_problem(turn, str_printf(&turn->arena, "%.*s:%zu still uses %.*s",
                                              STR_ARG(file->path.relative), left.items[i].line + 1,
                                              STR_ARG(r->from)));
    }
}

/* The number of callers that a new parameter without a default value would break; *first is one of them. */
static size_t broken_callers(const Turn *turn, const FileTargets *files, size_t count, const Hits *hits,
                             const Hit **first) {
    size_t broken = 0;
    Str name = turn->request.target;
    for (size_t i = 0; i < hits->count; i++) {
        const Hit *hit = &hits->items[i];
        Language language = language_of(hit->path);
        bool is_call = find_call(hit->text, name, 0) != STR_NONE, is_target = false;
        bool is_comment = str_starts(str_trim(hit->text), S("*")) ||
                          str_starts(str_trim(hit->text), S("//")) ||
                          str_starts(str_trim(hit->text), S("/*")) || str_starts(str_trim(hit->text), S("#"));
        for (size_t f = 0; f < count; f++)
            for (size_t k = 0; k < files[f].count; k++)
                is_target |= str_eq(files[f].file->path.relative, hit->path) &&
                             files[f].items[k].line + 1 >= hit->line &&
                             files[f].items[k].line + 1 <= hit->line + 12 &&
                             (files[f].items[k].line + 1 == hit->line || !brackets_match(S(""), hit->text));
        bool tolerant =
            language == LANGUAGE_JAVASCRIPT || language == LANGUAGE_TYPESCRIPT || language == LANGUAGE_TSX;
        if (!is_call || is_comment || is_target || language == LANGUAGE_NONE || tolerant)
            continue;
        if (broken++ == 0)
            *first = hit;
    }
    return broken;
}

static bool check_param(Turn *turn, const FileTargets *files, size_t count, Err *err) {
    const Request *r = &turn->request;
    if (str_contains(r->to, S("=")))
        return true;
    Query query = {.pattern = r->target, .is_fixed = true, .whole_word = true};
    Hits hits;
    if (!ws_find(turn->ws, &query, &turn->arena, &hits, err))
        return false;
    const Hit *first = NULL;
    size_t broken = broken_callers(turn, files, count, &hits, &first);
    if (broken == 0)
        return true;
    bool has_defaults =
        language_of(first->path) == LANGUAGE_PYTHON || language_of(first->path) == LANGUAGE_CPP;
    turn->problem_count = 0; /* this one is the reason, whatever else did not work */
    turn_problem(turn, str_printf(&turn->arena,
                                  "%.*s is called without the new parameter in %zu place%s (first %.*s:%zu) "
                                  "and would break; %s",
                                  STR_ARG(r->target), broken, broken == 1 ? "" : "s", STR_ARG(first->path),
                                  first->line,
                                  has_defaults ? "give it a default value"
                                               : "this language has no default values, so change the callers "
                                                 "and the function together with a larger model"));
    return true;
}

/* Python's argparse and its like keep the value of --output-dir as output_dir. */
static bool check_option(Turn *turn, Err *err) {
    const Request *r = &turn->request;
    if (r->intent != INTENT_REPLACE || !str_starts(r->from, S("--")))
        return true;
    Buf name = {0};
    for (size_t i = 2; i < r->from.len; i++)
        buf_char(&name, r->from.ptr[i] == '-' ? '_' : r->from.ptr[i]);
    Query query = {.pattern = buf_copy(&name, &turn->arena), .is_fixed = true, .whole_word = true};
    buf_free(&name);
    Hits hits = {0};
    if (!is_compound(query.pattern))
        return true;
    if (!ws_find(turn->ws, &query, &turn->arena, &hits, err))
        return false;
    if (hits.count)
        turn_problem(turn, str_printf(&turn->arena,
                                      "%.*s:%zu uses %.*s, which may follow from %.*s; rename it first",
                                      STR_ARG(hits.items[0].path), hits.items[0].line, STR_ARG(query.pattern),
                                      STR_ARG(r->from)));
    return true;
}

bool labels_run(Turn *turn, Err *err) {
    turn->must_be_whole = true;
    FileTargets *files = NULL;
    size_t count = 0;
    if (!targets_find(turn, &files, &count, err))
        return false;
    if (count && !check_option(turn, err))
        return false;
    if (turn->request.intent == INTENT_RENAME)
        check_new_name(turn, files, count);
    bool is_settled_before = turn->problem_count && turn->request.intent != INTENT_OTHER;
    for (size_t i = 0; i < count && !is_settled_before; i++)
        if (!work_file(turn, &files[i], err))
            return false;
    if (turn->request.intent == INTENT_RENAME)
        check_old_name(turn, files, count);
    if (turn->request.intent == INTENT_PARAM && !check_param(turn, files, count, err))
        return false;
    bool changed = false;
    for (size_t i = 0; i < count; i++)
        changed |= file_is_changed(files[i].file);
    if (turn->request.intent == INTENT_OTHER && (!changed || turn->problem_count)) {
        turn->problem_count = 0; /* one sentence instead of a list of lines that were only guesses */
        turn_problem(turn, S("the embedded model mux-tiny only makes simple edits (rename, change a value, "
                             "replace, remove or insert a "
                             "line, add a parameter) and answers no questions; for this request configure a "
                             "larger model with --model "
                             "FILE.gguf"));
    }
    return true;
}
