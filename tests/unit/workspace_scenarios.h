/* Changes of every kind on a small tree, each made by tests/fakes/commit_program.c, for the tests that stop
 * it somewhere: before and after are known, anything between is a bug.
 *
 *   ScenarioRun run; scenario_init(&run, &SCENARIOS[i]);
 *   scenario_reset(&run);  run_program(scenario_words(&run, NULL, 0), NULL);  ...  scenario_close(&run);
 */
#ifndef MUX_TESTS_WORKSPACE_SCENARIOS_H
#define MUX_TESTS_WORKSPACE_SCENARIOS_H

#include "tests/unit/workspace_fixture.h"

#define COMMIT_PROGRAM MUX_BINARY_DIR "/commit_program"

typedef enum StatePlace { STATE_IN_TREE, STATE_IN_GIT, STATE_ON_OTHER_MOUNT } StatePlace;

enum { SCENARIO_WORDS = 24 };

typedef struct Scenario {
    const char *name;
    StatePlace place;
    const char *first[SCENARIO_WORDS]; /* words of a change made beforehand, or none */
    const char *keep;                  /* backups to keep, or NULL */
    const char *words[SCENARIO_WORDS]; /* after the root: "change", steps ... */
} Scenario;

extern const Scenario SCENARIOS[];
extern const size_t SCENARIO_COUNT;

typedef struct ScenarioRun {
    Fixture fixture;
    const Scenario *scenario;
    Str before, after;                   /* as fixture_snapshot tells them */
    char far[64];                        /* the git folder on another mount, or empty */
    const char *prepared, *prepared_far; /* copies of the tree, and of far, as they are before */
} ScenarioRun;

const Scenario *scenario_named(const char *name);
/* Skips the test where the scenario needs a second file system and there is none. */
void scenario_init(ScenarioRun *run, const Scenario *scenario);
void scenario_reset(ScenarioRun *run);
void scenario_close(ScenarioRun *run);
/* An argv in the run's arena: front words (a tracer with its options), the program, its options, the root and
 * `mode` ("recover") or, when NULL, the scenario's own words. */
const char *const *scenario_words(ScenarioRun *run, const char *const *front, const char *mode);
/* In memory, where a sync costs nothing: for tests that ask what the kernel saw, not what a disk kept. */
void use_memory_folder(void);
/* MUX_FULL=1: every point instead of a sample. */
bool is_full_run(void);
void remove_tree(const char *path); /* nothing there is fine */
void copy_tree(Arena *arena, const char *from, const char *to);

#endif
