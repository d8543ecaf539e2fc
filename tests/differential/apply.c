#define _GNU_SOURCE
/* Random patches on random trees: whatever git-apply does, we do, in memory and on disk.
 *
 * MUX_CASES: how many (1500); MUX_SEED: another set of them; MUX_CASE: only the one of that number, shown
 * whole; MUX_SAVE: a folder where shrunken failures are kept as files.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "tests/differential/differences.h"
#include "tests/differential/git.h"
#include "tests/differential/making.h"
#include "tests/differential/shrinking.h"
#include "tests/differential/texts.h"
#include "tests/runner.h"

enum {
    DEFAULT_CASES = 1500,
    PROGRAM_EVERY = 12,
    MOST_NAMES = 64,
    MOST_NOTES = 8,
    MOST_SHOWN = 5,
    MOST_SAVED = 200
};

/* ---- statistics ---- */

typedef struct Tally {
    const char *name;
    size_t accepted, refused;
} Tally;

static Tally tallies[MOST_NAMES];
static size_t tally_count;

static void count_outcome(const char *name, bool is_accepted) {
    size_t i = 0;
    while (i < tally_count && strcmp(tallies[i].name, name) != 0)
        i++;
    if (i == tally_count) {
        CHECK(tally_count < MOST_NAMES);
        tallies[tally_count++] = (Tally){.name = name};
    }
    *(is_accepted ? &tallies[i].accepted : &tallies[i].refused) += 1;
}

static void print_tallies(void) {
    printf("    %-28s %8s %8s\n", "", "accepted", "refused");
    for (size_t i = 0; i < tally_count; i++)
        printf("    %-28s %8zu %8zu\n", tallies[i].name, tallies[i].accepted, tallies[i].refused);
}

/* ---- cases ---- */

typedef struct Notes {
    const char *items[MOST_NOTES];
    size_t count;
} Notes;

static void inflict(Trial *trial, DamageList list, Notes *notes, Arena *arena) {
    const Damage *damage = &list.items[pick(list.count)];
    damage->inflict(trial, arena);
    notes->items[notes->count++] = damage->name;
}

static void choose_options(Trial *trial, Notes *notes) {
    PatchOptions *o = &trial->test.options;
    static const char *const NAMES[] = {"-p0 to -p3",     "--reverse turned",    "--recount",
                                        "--unidiff-zero", "--ignore-whitespace", "-C",
                                        "--check"};
    size_t which = pick(7);
    switch (which) {
    case 0:
        o->strip = (int)pick(4);
        o->guesses_strip = false;
        break;
    case 1: o->reverse = !o->reverse; break;
    case 2: o->recount = true; break;
    case 3: o->unidiff_zero = true; break;
    case 4: o->ignore_whitespace = true; break;
    case 5:
        o->has_least_context = true;
        o->least_context = (int)pick(4);
        break;
    default: trial->test.only_check = true;
    }
    notes->items[notes->count++] = NAMES[which];
}

/* A third of the cases is left whole, a third has one thing wrong with it. */
static Trial make_trial(Arena *arena, Notes *notes) {
    Trial trial = {0};
    *notes = (Notes){0};
    trial.before = random_tree(arena);
    do
        trial.after = edited_tree(&trial.before, arena);
    while (tree_same(&trial.before, &trial.after, arena, &(Str){0}));
    notes->items[notes->count++] = make_patch(&trial, arena);
    if (trial.is_two_patches)
        notes->items[notes->count++] = "two patches in a row";
    size_t damages = chance(30) ? 0 : chance(65) ? 1 : 2 + pick(2);
    if (damages == 0)
        notes->items[notes->count++] = "whole";
    for (size_t i = 0; i < damages; i++) {
        size_t kind = pick(10);
        inflict(&trial, kind < 4 ? TREE_DAMAGES : kind < 7 ? LINE_DAMAGES : HEADER_DAMAGES, notes, arena);
    }
    if (chance(20))
        choose_options(&trial, notes);
    return trial;
}

/* ---- verdicts ---- */

/* *known: the name of a difference that is meant. */
static bool is_right(const ApplyCase *test, const Outcome *git, const Outcome *ours, Arena *arena, Str *why,
                     const char **known) {
    *known = NULL;
    if (outcomes_agree(git, ours, arena, why))
        return true;
    *known = known_difference(test, git, ours, arena);
    return *known != NULL;
}

static bool differs_in_memory(const ApplyCase *test) {
    Arena arena = {0};
    Str why;
    const char *known;
    Outcome git = apply_with_git(test, &arena), ours = apply_in_memory(test, &arena);
    bool differs = !is_right(test, &git, &ours, &arena, &why, &known);
    arena_free(&arena);
    return differs;
}

static bool differs_on_disk(const ApplyCase *test) {
    Arena arena = {0};
    Str why, damage;
    const char *known;
    Outcome git = apply_with_git(test, &arena), ours = apply_with_program(test, &arena, &damage);
    bool differs = damage.len || !is_right(test, &git, &ours, &arena, &why, &known);
    arena_free(&arena);
    return differs;
}

static void save_case(const ApplyCase *test, size_t number, Str why, Arena *arena) {
    const char *folder = getenv("MUX_SAVE");
    if (!folder)
        return;
    Outcome git = apply_with_git(test, arena), ours = apply_in_memory(test, arena);
    const char *place =
        str_printf(arena, "%s/%s-%zu", folder, getenv("MUX_SEED") ? getenv("MUX_SEED") : "1", number).ptr;
    folder_remove(place);
    os_make_dirs(place, NULL);
    tree_write(&test->tree, str_printf(arena, "%s/before", place).ptr);
    os_write_file(str_printf(arena, "%s/patch", place).ptr, test->patch, NULL);
    os_write_file(str_printf(arena, "%s/args", place).ptr, case_arguments(test, arena), NULL);
    os_write_file(str_printf(arena, "%s/why", place).ptr, why, NULL);
    if (git.is_accepted)
        tree_write(&git.tree, str_printf(arena, "%s/git-after", place).ptr);
    else
        os_write_file(str_printf(arena, "%s/refused", place).ptr, S(""), NULL);
    if (ours.is_accepted && tree_is_sound(&ours.tree))
        tree_write(&ours.tree, str_printf(arena, "%s/ours", place).ptr);
}

static void show_case(const ApplyCase *test, const Notes *notes, Arena *arena) {
    Buf out = {0};
    SmallTree patch = {0};
    tree_put(&patch, arena, S("(the patch)"), TREE_FILE, test->patch);
    buf_printf(&out, "  made of:");
    for (size_t i = 0; i < notes->count; i++)
        buf_printf(&out, "%s %s", i ? "," : "", notes->items[i]);
    buf_printf(&out, "\n  options: %.*s\n", STR_ARG(case_arguments(test, arena)));
    tree_print(&test->tree, &out);
    tree_print(&patch, &out);
    fprintf(stderr, "%.*s", (int)out.len, out.ptr);
    buf_free(&out);
}

static void report(const ApplyCase *found, size_t number, const Notes *notes, Str why, bool on_disk,
                   Arena *arena) {
    ApplyCase test = *found;
    fprintf(stderr, "case %zu%s: %.*s\n", number, on_disk ? " on disk" : "", STR_ARG(why));
    shrink_case(&test, on_disk ? differs_on_disk : differs_in_memory, arena);
    save_case(&test, number, why, arena);
    show_case(&test, notes, arena);
}

/* git takes what we print and makes of it what it was printed from, unless the patch says less than that. */
static bool is_true_copy(const Trial *trial, const Notes *notes, const Outcome *git, Arena *arena, Str *why) {
    bool is_whole = notes->count == 2 && strcmp(notes->items[0], "made by us") == 0 &&
                    strcmp(notes->items[1], "whole") == 0;
    bool says_less = trial->context == 0 || trial->is_two_patches ||
                     str_contains(trial->test.patch, S("Binary files ")) ||
                     (trial->test.options.reverse && str_contains(trial->test.patch, S("\ncopy from ")));
    *why = S("git refuses what our diff printed");
    if (!is_whole || says_less)
        return true;
    if (!git->is_accepted)
        return false;
    return tree_same(&git->tree, trial->test.options.reverse ? &trial->before : &trial->after, arena, why);
}

/* False when git and we disagree. */
static bool run_trial(size_t number, bool is_shown, Arena *arena) {
    Notes notes;
    Str why = S(""), damage = S("");
    const char *seed = getenv("MUX_SEED");
    test_seed((seed ? strtoull(seed, NULL, 10) : 1) * 1000003 + number);
    Trial trial = make_trial(arena, &notes);
    if (is_shown)
        show_case(&trial.test, &notes, arena);
    Outcome git = apply_with_git(&trial.test, arena), ours = apply_in_memory(&trial.test, arena);
    const char *known;
    bool agrees = is_right(&trial.test, &git, &ours, arena, &why, &known) &&
                  (known || is_true_copy(&trial, &notes, &git, arena, &why));
    if (!agrees)
        report(&trial.test, number, &notes, why, false, arena);
    if (agrees && (is_shown || number % PROGRAM_EVERY == 0)) {
        ours = apply_with_program(&trial.test, arena, &damage);
        agrees = !damage.len && is_right(&trial.test, &git, &ours, arena, &why, &known);
        if (!agrees)
            report(&trial.test, number, &notes, damage.len ? damage : why, true, arena);
    }
    for (size_t i = 0; i < notes.count; i++)
        count_outcome(notes.items[i], git.is_accepted);
    if (known)
        count_outcome(known, git.is_accepted);
    count_outcome("all", git.is_accepted);
    return agrees;
}

static void same_as_git(void) {
    const char *cases = getenv("MUX_CASES"), *only = getenv("MUX_CASE");
    size_t count = cases ? strtoul(cases, NULL, 10) : DEFAULT_CASES, failed = 0;
    size_t first = only ? strtoul(only, NULL, 10) : 0;
    size_t most_failures = getenv("MUX_SAVE") ? MOST_SAVED : MOST_SHOWN;
    Arena texts = {0};
    const char *scratch = test_tmp();
    if (!git_open(scratch))
        SKIP("git is not there");
    CHECK(access(MUX_BINARY_DIR "/mux-acp", X_OK) == 0);
    applying_open(scratch);
    CHECK(texts_collect(&texts));
    tally_count = 0;
    for (size_t i = first; i < (only ? first + 1 : count) && failed < most_failures; i++) {
        Arena arena = {0};
        failed += !run_trial(i, only != NULL, &arena);
        arena_free(&arena);
    }
    print_tallies();
    arena_free(&texts);
    git_close();
    CHECK_MSG(failed == 0, "%zu cases differ from git", failed);
    if (!only) { /* tests that only see refusals prove nothing */
        const Tally *all = NULL;
        for (size_t i = 0; i < tally_count; i++)
            all = strcmp(tallies[i].name, "all") == 0 ? &tallies[i] : all;
        CHECK(all && all->accepted >= count * 2 / 5 && all->refused >= count / 5);
    }
}

static const TestCase CASES[] = {{"same_as_git", same_as_git}};
TEST_SUITE(DIFFERENTIAL_APPLY_SUITE, "apply", CASES);
