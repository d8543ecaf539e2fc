#define _GNU_SOURCE
#include "tests/unit/workspace_scenarios.h"

#include <dirent.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/os.h"

#define EDITS                                                                                                \
    "change", "put", "a.txt", "after a", "long", "sub/deep/new.txt", "after new ", "remove", "gone.txt"
#define FOLDERS                                                                                              \
    "change", "remove", "box/in.txt", "put", "box", "was a folder", "remove", "plain", "put",                \
        "plain/in.txt", "was a file"
#define LINKS "change", "link", "fresh", "a.txt", "link", "pointer", "other.txt"
#define TYPES "change", "link", "a.txt", "other.txt", "put", "pointer", "was a link"
#define MODES                                                                                                \
    "change", "put", "other.txt", "other", "mode", "other.txt", "755", "put", "run.sh", "after run", "mode", \
        "run.sh", "644"
/* the mode alone, after texts */
#define LATE_MODE "change", "put", "a.txt", "after a", "put", "other.txt", "other", "mode", "other.txt", "755"

const Scenario SCENARIOS[] = {
    {"edits", STATE_IN_TREE, {0}, NULL, {EDITS}},
    {"edits in git", STATE_IN_GIT, {0}, NULL, {EDITS}},
    {"edits on another mount", STATE_ON_OTHER_MOUNT, {0}, NULL, {EDITS}},
    {"modes", STATE_IN_GIT, {0}, NULL, {MODES}},
    {"a mode last", STATE_IN_TREE, {0}, NULL, {LATE_MODE}},
    {"links", STATE_IN_TREE, {0}, NULL, {LINKS}},
    {"types", STATE_IN_GIT, {0}, NULL, {TYPES}},
    {"folders", STATE_IN_TREE, {0}, NULL, {FOLDERS}},
    {"types on another mount", STATE_ON_OTHER_MOUNT, {0}, NULL, {TYPES}},
    {"folders on another mount", STATE_ON_OTHER_MOUNT, {0}, NULL, {FOLDERS}},
    {"undo", STATE_IN_TREE, {EDITS}, NULL, {"undo"}},
    {"undo modes", STATE_IN_TREE, {MODES}, NULL, {"undo"}},
    {"undo types", STATE_IN_TREE, {TYPES}, NULL, {"undo"}},
    {"undo folders", STATE_IN_TREE, {FOLDERS}, NULL, {"undo"}},
    {"undo on another mount", STATE_ON_OTHER_MOUNT, {EDITS}, NULL, {"undo"}},
    {"prune", STATE_IN_TREE, {EDITS}, "1", {"change", "put", "a.txt", "second", "put", "sub/x.txt", "x"}},
};
const size_t SCENARIO_COUNT = sizeof SCENARIOS / sizeof *SCENARIOS;

const Scenario *scenario_named(const char *name) {
    for (size_t i = 0; i < SCENARIO_COUNT; i++)
        if (strcmp(SCENARIOS[i].name, name) == 0)
            return &SCENARIOS[i];
    test_fail(__FILE__, __LINE__, "there is no scenario %s", name);
}

bool is_full_run(void) {
    const char *full = getenv("MUX_FULL");
    return full && *full && strcmp(full, "0") != 0;
}

void use_memory_folder(void) {
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    log_init("error");
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *walk) {
    (void)st;
    (void)kind;
    (void)walk;
    return remove(path);
}

void remove_tree(const char *path) {
    struct stat st;
    if (lstat(path, &st) == 0)
        CHECK(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

static void copy_entry(Arena *arena, const char *from, const char *to) {
    char target[PATH_MAX];
    struct stat st;
    Err err = {0};
    Str text;
    CHECK(lstat(from, &st) == 0);
    if (S_ISDIR(st.st_mode)) {
        copy_tree(arena, from, to);
    } else if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlink(from, target, sizeof target - 1);
        CHECK(n > 0);
        target[n] = 0;
        CHECK(symlink(target, to) == 0);
    } else {
        CHECK_OK(os_read_file(from, 64 << 20, arena, &text, &err) && os_write_file(to, text, &err), err);
        CHECK(chmod(to, st.st_mode & 07777) == 0);
    }
}

void copy_tree(Arena *arena, const char *from, const char *to) {
    struct stat st;
    CHECK(stat(from, &st) == 0 && mkdir(to, st.st_mode & 07777) == 0);
    DIR *dir = opendir(from);
    CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            copy_entry(arena, str_printf(arena, "%s/%s", from, entry->d_name).ptr,
                       str_printf(arena, "%s/%s", to, entry->d_name).ptr);
    closedir(dir);
}

static void make_tree(Fixture *fixture) {
    fixture_write(fixture, "a.txt", S("before a\n"));
    fixture_write(fixture, "gone.txt", S("before gone\n"));
    fixture_write(fixture, "other.txt", S("other\n"));
    fixture_write(fixture, "run.sh", S("before run\n"));
    fixture_write(fixture, "box/in.txt", S("in the box\n"));
    fixture_write(fixture, "plain", S("plain\n"));
    CHECK(chmod(fixture_path(fixture, "gone.txt"), 0755) == 0);
    CHECK(chmod(fixture_path(fixture, "run.sh"), 0755) == 0);
    CHECK(symlink("a.txt", fixture_path(fixture, "pointer")) == 0);
}

static void make_far_git(ScenarioRun *run) {
    struct stat here, there;
    Arena *arena = &run->fixture.arena;
    if (stat(test_tmp(), &here) != 0 || stat("/tmp", &there) != 0 || here.st_dev == there.st_dev)
        SKIP("there is no second file system to try");
    snprintf(run->far, sizeof run->far, "/tmp/mux-test-far-XXXXXX");
    CHECK(mkdtemp(run->far) != NULL);
    CHECK(os_write_file(str_printf(arena, "%s/HEAD", run->far).ptr, S("ref: refs/heads/x\n"), NULL));
    fixture_write(&run->fixture, ".git", str_printf(arena, "gitdir: %s\n", run->far));
}

void scenario_init(ScenarioRun *run, const Scenario *scenario) {
    *run = (ScenarioRun){.scenario = scenario};
    use_memory_folder();
    Fixture *fixture = &run->fixture;
    fixture_init(fixture);
    make_tree(fixture);
    if (scenario->place == STATE_IN_GIT)
        fixture_git_init(fixture);
    if (scenario->place == STATE_ON_OTHER_MOUNT)
        make_far_git(run);
    if (scenario->first[0]) {
        Scenario first = {.name = scenario->name};
        memcpy(first.words, scenario->first, sizeof first.words);
        run->scenario = &first;
        CHECK_INT(run_program(scenario_words(run, NULL, NULL), NULL), 0);
        run->scenario = scenario;
    }
    run->prepared = str_printf(&fixture->arena, "%s/prepared", test_tmp()).ptr;
    copy_tree(&fixture->arena, fixture->root.ptr, run->prepared);
    if (run->far[0]) {
        run->prepared_far = str_printf(&fixture->arena, "%s/prepared-far", test_tmp()).ptr;
        copy_tree(&fixture->arena, run->far, run->prepared_far);
    }
    run->before = fixture_snapshot(fixture);
    CHECK_INT(run_program(scenario_words(run, NULL, NULL), NULL), 0);
    run->after = fixture_snapshot(fixture);
    CHECK(!str_eq(run->before, run->after));
}

void scenario_reset(ScenarioRun *run) {
    Arena scratch = {0};
    remove_tree(run->fixture.root.ptr);
    copy_tree(&scratch, run->prepared, run->fixture.root.ptr);
    if (run->far[0]) {
        remove_tree(run->far);
        copy_tree(&scratch, run->prepared_far, run->far);
    }
    arena_free(&scratch);
}

void scenario_close(ScenarioRun *run) {
    if (run->far[0])
        remove_tree(run->far);
    remove_tree(run->fixture.root.ptr);
    if (run->prepared)
        remove_tree(run->prepared);
    if (run->prepared_far)
        remove_tree(run->prepared_far);
    fixture_close(&run->fixture);
    *run = (ScenarioRun){0};
}

const char *const *scenario_words(ScenarioRun *run, const char *const *front, const char *mode) {
    enum { WORDS_MAX = 64 };
    const char **argv = ARENA_ARRAY(&run->fixture.arena, const char *, WORDS_MAX);
    const char *const *own = run->scenario->words;
    size_t n = 0;
    for (; front && *front && n < WORDS_MAX / 2; front++)
        argv[n++] = *front;
    argv[n++] = COMMIT_PROGRAM;
    if (run->scenario->keep) {
        argv[n++] = "--keep";
        argv[n++] = run->scenario->keep;
    }
    argv[n++] = run->fixture.root.ptr;
    if (mode)
        argv[n++] = mode;
    else
        for (; *own; own++)
            argv[n++] = *own;
    return argv;
}
