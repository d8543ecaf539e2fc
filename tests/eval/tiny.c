#define _GNU_SOURCE
/* mux-tiny measured: eval-tiny CASES.jsonl [--mode none|free|guided|strict|planner] [--model FILE] [--show N]
 *
 * Each case is one line of JSON: family, instruction, path, excerpt, prompt, result. The first four modes ask
 * the model once per case (none = nothing forced) and compare the excerpt after its edits with `result`,
 * exactly. planner puts the excerpt as a file into a folder of its own and lets a whole turn run on it:
 * context, retries, checks, apply; it also counts declined cases (file untouched). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/os.h"
#include "diff/edit.h"
#include "planner/planner.h"

enum { MOST_FAMILIES = 16 };

typedef struct Tally {
    Str family;
    int right, untouched, count;
} Tally;

typedef struct Eval {
    const char *mode;
    Engine *engine;
    Chat *chat;
    Planner *planner;
    Tally tallies[MOST_FAMILIES];
    int tally_count, show;
    size_t tokens;
} Eval;

static bool feed(void *ctx, Str piece) {
    edit_feed(ctx, piece);
    return true;
}

/* Without a grammar the engine shows no label: take the tokens' bytes instead. */
typedef struct Raw {
    EditParser *parser;
    const Tokenizer *tokenizer;
} Raw;

static bool feed_token(void *ctx, int32_t id, const float *logits, size_t vocabulary) {
    (void)logits;
    (void)vocabulary;
    const Raw *raw = ctx;
    if (!tokenizer_is_end(raw->tokenizer, id))
        edit_feed(raw->parser, tokenizer_bytes(raw->tokenizer, id));
    return true;
}

/* The excerpt after one answer; empty Str with NULL ptr when the answer has no usable form. */
static Str ask_once(Eval *eval, const Json *test, Arena *arena) {
    Err err = {0};
    Str excerpt = json_str(test, "excerpt");
    if (!chat_sync_text(eval->chat, json_str(test, "prompt"), &err)) {
        fprintf(stderr, "%s\n", err.text);
        return (Str){0};
    }
    GrammarSpec grammar = {
        .form = FORM_LABELS, .excerpt = excerpt, .request = json_str(test, "instruction"), .first_label = 1};
    grammar.label_mode = strcmp(eval->mode, "strict") == 0   ? LABELS_STRICT
                         : strcmp(eval->mode, "guided") == 0 ? LABELS_GUIDED
                                                             : LABELS_FREE;
    EditParser parser;
    edit_begin(&parser, EDIT_LABELS, arena);
    Sampling sampling = {.max_tokens = 420};
    Usage usage;
    bool free_form = strcmp(eval->mode, "none") == 0;
    Raw raw = {&parser, chat_tokenizer(eval->chat)};
    ChatSink sink =
        free_form ? (ChatSink){.ctx = &raw, .token = feed_token} : (ChatSink){.ctx = &parser, .text = feed};
    bool ok = chat_generate(eval->chat, &sampling, free_form ? NULL : &grammar, sink, &usage, &err);
    eval->tokens += usage.prompt_tokens - usage.cached_tokens + usage.output_tokens;
    EditList edits;
    Str after;
    bool deleted_all;
    if (!ok || !edit_finish(&parser, &edits, &err) ||
        !edit_apply_labels(excerpt, 1, &edits, arena, &after, &deleted_all, &err))
        return (Str){0};
    return after;
}

static void ignore_event(void *ctx, const TurnEvent *event) {
    if (getenv("EVAL_WHY") && event->kind == TURN_DONE)
        for (size_t i = 0; i < event->done->problem_count; i++)
            printf("     * %.*s\n", STR_ARG(event->done->problems[i]));
    (void)ctx;
}

/* The file after a whole turn in a folder that holds nothing else. */
static Str ask_planner(Eval *eval, const Json *test, Arena *arena) {
    Err err = {0};
    char folder[] = "/tmp/mux-eval-XXXXXX";
    if (!mkdtemp(folder))
        return (Str){0};
    Str path = json_str(test, "path");
    size_t slash = str_rfind_char(path, '/');
    Str full =
        str_printf(arena, "%s/%.*s", folder, STR_ARG(slash == STR_NONE ? path : str_from(path, slash + 1)));
    Str text = str_concat(arena, json_str(test, "excerpt"), S("\n")), after = {0};
    SessionConfig config = {.id = S("eval"), .cwd = str_of(folder), .review = REVIEW_AUTO};
    Session *session = os_write_file(full.ptr, text, &err)
                           ? session_open(eval->planner, &config, file_io_disk(), &err)
                           : NULL;
    if (session) {
        Ask ask = {.text = json_str(test, "instruction")};
        if (turn_start(session, &ask, (TurnSink){.event = ignore_event}, &err))
            turn_wait(session);
        session_close(session);
        if (os_read_file(full.ptr, 1 << 20, arena, &after, &err) && str_ends(after, S("\n")))
            after.len--;
    } else {
        fprintf(stderr, "%s\n", err.text);
    }
    Str clean = str_printf(arena, "rm -rf '%s'", folder);
    if (system(clean.ptr) != 0)
        fprintf(stderr, "cannot remove %s\n", folder);
    return after;
}

static Tally *tally_of(Eval *eval, Str family) {
    for (int i = 0; i < eval->tally_count; i++)
        if (str_eq(eval->tallies[i].family, family))
            return &eval->tallies[i];
    if (eval->tally_count == MOST_FAMILIES)
        exit(2);
    eval->tallies[eval->tally_count].family = str_of(strndup(family.ptr, family.len));
    return &eval->tallies[eval->tally_count++];
}

static void run_case(Eval *eval, const Json *test) {
    Arena arena = {0};
    bool whole = strcmp(eval->mode, "planner") == 0;
    Str after = whole ? ask_planner(eval, test, &arena) : ask_once(eval, test, &arena);
    Str wanted = json_str(test, "result");
    bool right = after.ptr && str_eq(after, wanted),
         untouched = after.ptr && str_eq(after, json_str(test, "excerpt"));
    Tally *tally = tally_of(eval, json_str(test, "family"));
    tally->count++;
    tally->right += right;
    tally->untouched += untouched && !right;
    if (!right && eval->show-- > 0)
        printf("---- %.*s: %.*s%s\n%.*s\n", STR_ARG(tally->family), STR_ARG(json_str(test, "instruction")),
               untouched ? " (untouched)" : "", STR_ARG(after));
    arena_free(&arena);
}

static void report(const Eval *eval, double ms) {
    Tally all = {.family = S("all")};
    for (int i = 0; i <= eval->tally_count; i++) {
        const Tally *t = i < eval->tally_count ? &eval->tallies[i] : &all;
        printf("%-8s %-8.*s %4d of %4d exact (%.1f %%), %d untouched\n", eval->mode, STR_ARG(t->family),
               t->right, t->count, 100.0 * t->right / (t->count ? t->count : 1), t->untouched);
        all.right += t->right;
        all.count += t->count;
        all.untouched += t->untouched;
    }
    printf("%-8s %.1f s, %zu tokens\n", eval->mode, ms / 1e3, eval->tokens);
}

int main(int argc, char **argv) {
    Eval eval = {.mode = "none"};
    const char *model = "";
    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--mode") == 0)
            eval.mode = argv[i + 1];
        else if (strcmp(argv[i], "--model") == 0)
            model = argv[i + 1];
        else if (strcmp(argv[i], "--show") == 0)
            eval.show = atoi(argv[i + 1]);
    }
    Err err = {0};
    Arena arena = {0};
    Str cases;
    EngineConfig config = {.default_model = str_of(model),
                           .threads = getenv("EVAL_THREADS") ? atoi(getenv("EVAL_THREADS")) : 0};
    if (argc < 2 || !os_read_file(argv[1], (size_t)1 << 30, &arena, &cases, &err) ||
        !(eval.engine = engine_open(&config, &err)) || !(eval.chat = chat_open(eval.engine, S(""), &err)) ||
        !(eval.planner = planner_open(&(PlannerConfig){0}, eval.engine, &err))) {
        fprintf(stderr, "eval-tiny: %s\n", argc < 2 ? "name a file of cases" : err.text);
        return 2;
    }
    double start = os_monotonic_ms();
    for (Str line; str_next_line(&cases, &line);) {
        Json *test = json_parse(line, &err);
        if (test)
            run_case(&eval, test);
        json_free(test);
    }
    report(&eval, os_monotonic_ms() - start);
    planner_close(eval.planner);
    chat_close(eval.chat);
    engine_close(eval.engine);
    arena_free(&arena);
    return 0;
}
