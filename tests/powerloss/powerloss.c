/* Power fails at every moment of a change, and of the recovery after it: whatever a disk may keep then, the
 * next start makes the tree as it was before or as it should be after; and once the change is said to be
 * done, it is there.
 *
 * Without MUX_FULL=1 a sample of the moments and of what is kept at each.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "tests/powerloss/disk.h"
#include "tests/unit/workspace_scenarios.h"

enum { SEEN_MAX = 1 << 20, MIDWAY_MAX = 64 };

typedef struct Loss {
    ScenarioRun run;
    const char *roots[2];
    size_t root_count;
    uint64_t *seen; /* keys of images already tried, open addressing */
    int images, befores, afters;
    Arena arena;              /* of the images kept below */
    Image midway[MIDWAY_MAX]; /* in which recovery had something to do */
    int midway_count, midway_seen;
} Loss;

/* One recorded run. */
typedef struct Recording {
    Arena arena;
    Str log;
    Disk *disk;
    Str final; /* the tree when the program had ended */
    int status;
} Recording;

static void loss_init(Loss *loss, const char *name) {
    *loss = (Loss){0};
    if (!has_program("strace"))
        SKIP("strace is not installed");
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* the leak checker cannot work while traced */
    scenario_init(&loss->run, scenario_named(name));
    loss->roots[loss->root_count++] = loss->run.fixture.root.ptr;
    if (loss->run.far[0])
        loss->roots[loss->root_count++] = loss->run.far;
    loss->seen = calloc(SEEN_MAX, sizeof *loss->seen);
    CHECK(loss->seen != NULL);
}

static void loss_close(Loss *loss) {
    free(loss->seen);
    arena_free(&loss->arena);
    scenario_close(&loss->run);
}

static bool is_new_key(Loss *loss, uint64_t key) {
    key += key == 0;
    size_t at = key % SEEN_MAX;
    while (loss->seen[at] && loss->seen[at] != key)
        at = (at + 1) % SEEN_MAX;
    bool is_new = loss->seen[at] == 0;
    loss->seen[at] = key;
    return is_new;
}

/* The trees are as the program shall find them. The model must agree with what became of them. */
static void record(Loss *loss, const char *mode, int swallow, Recording *out) {
    *out = (Recording){0};
    Arena *arena = &out->arena;
    const char *log = str_printf(arena, "%s/calls", test_tmp()).ptr;
    Disk *check = disk_new(arena, loss->roots, loss->root_count);
    out->disk = disk_new(arena, loss->roots, loss->root_count);
    out->status = run_program(scenario_words(&loss->run, record_front(arena, log, swallow), mode), NULL);
    if (out->status != 0 || !os_read_file(log, 256 << 20, arena, &out->log, NULL))
        SKIP("strace may not trace here");
    out->final = fixture_snapshot(&loss->run.fixture);
    Image real, model;
    image_read(loss->roots, loss->root_count, arena, &real);
    Str rest = out->log;
    for (Call call; call_next(&rest, arena, &call);)
        disk_apply(check, &call);
    disk_crash(check, CRASH_ALL_KEPT, arena, &model);
    Str difference = image_difference(&model, &real, arena);
    CHECK_MSG(!difference.len, "the model and the disk differ: %.*s", STR_ARG(difference));
}

static Workspace *open_quietly(Loss *loss, Err *err) {
    WorkspaceConfig config = {.root = loss->run.fixture.root, .recovers_later = true};
    return ws_open(&config, file_io_disk(), err);
}

/* What a start makes of an image: an empty string, or what is wrong. wanted: the only tree allowed, or ptr
 * NULL. */
static Str wrong_with(Loss *loss, const Image *image, Str wanted, Arena *arena) {
    Fixture *fixture = &loss->run.fixture;
    RecoverReport report, again;
    Err err = {0};
    BackupList backups;
    Str wrong = S("");
    image_write(image, loss->roots, loss->root_count);
    Workspace *ws = open_quietly(loss, &err);
    if (!ws || !ws_recover(ws, &report, &err)) {
        ws_close(ws);
        return str_printf(arena, "recovery failed: %s", err.text);
    }
    Arena kept = fixture->arena; /* snapshots are dropped again: there are thousands */
    fixture->arena = (Arena){0};
    Str now = fixture_snapshot(fixture);
    bool is_after = str_eq(now, loss->run.after), is_before = str_eq(now, loss->run.before);
    if (report.conflicts)
        wrong = str_printf(arena, "%zu files taken for a third party's", report.conflicts);
    else if (wanted.ptr ? !str_eq(now, wanted) : !is_after && !is_before)
        wrong = str_printf(arena, "%s:\n%.*s", wanted.ptr && is_before ? "lost" : "between",
                           STR_ARG(str_slice(now, 0, 1000)));
    else if (!ws_recover(ws, &again, &err) || again.finished + again.rolled_back + again.cleaned)
        wrong = str_printf(
            arena,
            "the first recovery: %zu finished, %zu undone, %zu cleaned; the second found something "
            "to do: %zu finished, %zu undone, %zu cleaned %s",
            report.finished, report.rolled_back, report.cleaned, again.finished, again.rolled_back,
            again.cleaned, err.text);
    else if (!str_eq(fixture_snapshot(fixture), now))
        wrong = S("the second recovery changed the tree");
    else if (is_after && (!ws_backups(ws, arena, &backups, &err) || !backups.count ||
                          !ws_undo(ws, backups.items[0].id, NULL, &err) ||
                          !str_eq(fixture_snapshot(fixture), loss->run.before)))
        wrong = str_printf(arena, "the change cannot be undone: %s", err.text);
    arena_free(&fixture->arena);
    fixture->arena = kept;
    ws_close(ws);
    loss->images++;
    loss->befores += is_before;
    loss->afters += is_after;
    if (!wrong.len && report.finished + report.rolled_back && loss->midway_seen++ % 7 == 0 &&
        loss->midway_count < MIDWAY_MAX) {
        Image *copy = &loss->midway[loss->midway_count++];
        for (size_t i = 0; i < image->count; i++) {
            ImageEntry entry = image->items[i];
            entry.path = str_copy(&loss->arena, entry.path);
            entry.data = str_copy(&loss->arena, entry.data);
            LIST_PUSH(&loss->arena, copy->items, copy->count, copy->capacity, entry);
        }
    }
    return wrong;
}

/* Crashes after one call. Returns false at the first image that goes wrong, with *what telling it. */
static bool crash_here(Loss *loss, Disk *disk, Str wanted, int draws, bool is_torn, Str *what, Arena *arena) {
    static const char *const KINDS[] = {"nothing kept", "all kept", "no bytes", "journal", "mixed", "torn"};
    for (int kind = 0; kind < CRASH_KINDS; kind++) {
        bool is_fixed = kind <= CRASH_NO_BYTES;
        if (kind == CRASH_TORN && !is_torn)
            continue;
        for (int i = 0; i < (is_fixed ? 1 : draws); i++) {
            Arena scratch = {0};
            Image image;
            disk_crash(disk, (CrashKind)kind, &scratch, &image);
            Str wrong = S("");
            if (is_new_key(loss, image_key(&image) ^ (wanted.ptr ? UINT64_C(0x5bd1e995) : 0)))
                wrong = wrong_with(loss, &image, wanted, &scratch);
            if (wrong.len)
                *what = str_printf(arena, "%s: %.*s", KINDS[kind], STR_ARG(wrong));
            arena_free(&scratch);
            if (what->len)
                return false;
        }
    }
    return true;
}

/* Crashes after every stride-th call that changes something. wanted_at_end: what must be there once the
 * program has said that it is done. */
static bool explore(Loss *loss, Recording *recording, Str wanted_at_end, int stride, int draws, bool is_torn,
                    Str *what) {
    Str rest = recording->log, wanted = {0};
    int calls = 0, at = (int)(test_random() % (unsigned)stride);
    *what = S("");
    for (Call call; call_next(&rest, &recording->arena, &call);) {
        bool is_done = str_eq(call.name, S("write")) && call_number(&call, 0) == 1;
        if (is_done)
            wanted = wanted_at_end;
        calls++;
        if ((!disk_apply(recording->disk, &call) || at++ % stride) && !is_done)
            continue;
        Str wrong = {0};
        if (crash_here(loss, recording->disk, wanted, draws, is_torn, &wrong, &recording->arena))
            continue;
        *what = str_printf(&recording->arena, "%s, after call %d (%.*s): %.*s", loss->run.scenario->name,
                           calls, STR_ARG(call.name), STR_ARG(wrong));
        return false;
    }
    return true;
}

static void test_every_prefix(void) {
    int images = 0, midway = 0;
    bool is_full = is_full_run();
    for (size_t i = 0; i < SCENARIO_COUNT; i++) {
        Loss loss;
        Recording recording;
        Str what;
        if (SCENARIOS[i].place == STATE_ON_OTHER_MOUNT && !is_full)
            continue;
        loss_init(&loss, SCENARIOS[i].name);
        scenario_reset(&loss.run);
        record(&loss, NULL, 0, &recording);
        CHECK_STR(recording.final, loss.run.after);
        bool ok = explore(&loss, &recording, loss.run.after, is_full ? 1 : 3, is_full ? 100 : 1, true, &what);
        CHECK_MSG(ok, "%.*s", STR_ARG(what));
        CHECK(loss.befores > 0 && loss.afters > 0);
        if (is_full)
            printf("    %s: %d images: %d before, %d after, 0 between\n", SCENARIOS[i].name, loss.images,
                   loss.befores, loss.afters);
        images += loss.images;
        midway += loss.midway_seen;
        arena_free(&recording.arena);
        loss_close(&loss);
    }
    if (is_full)
        printf("    %d images in all, %d of them with something to undo or to finish\n", images, midway);
    CHECK_MSG(images >= 200 && midway >= 20, "only %d images, %d with work", images, midway);
}

/* Power fails again while the next start recovers. */
static void lose_recovery(Loss *loss, const Image *midway, int stride, int draws) {
    Recording recording;
    Str what;
    image_write(midway, loss->roots, loss->root_count);
    record(loss, "recover", 0, &recording);
    bool ok = explore(loss, &recording, recording.final, stride, draws, true, &what);
    CHECK_MSG(ok, "while recovering: %.*s", STR_ARG(what));
    arena_free(&recording.arena);
}

static void test_during_recovery(void) {
    int images = 0, recoveries = 0;
    bool is_full = is_full_run();
    for (size_t i = 0; i < SCENARIO_COUNT; i++) {
        Loss loss;
        Recording recording;
        Str what;
        if (SCENARIOS[i].place == STATE_ON_OTHER_MOUNT && !is_full)
            continue;
        loss_init(&loss, SCENARIOS[i].name);
        scenario_reset(&loss.run);
        record(&loss, NULL, 0, &recording);
        CHECK(explore(&loss, &recording, loss.run.after, 1, 1, true, &what));
        loss.images = 0;
        int count = is_full ? loss.midway_count : 2;
        for (int k = 0; k < count && k < loss.midway_count; k++, recoveries++)
            lose_recovery(&loss, &loss.midway[is_full ? k : k * (loss.midway_count - 1)], is_full ? 1 : 4,
                          is_full ? 20 : 1);
        images += loss.images;
        arena_free(&recording.arena);
        loss_close(&loss);
    }
    if (is_full)
        printf("    %d recoveries, %d images of them\n", recoveries, images);
    CHECK_MSG(recoveries >= 8 && images >= 40, "only %d recoveries, %d images", recoveries, images);
}

/* The proof of the proof: when one sync is left out, some image must show it. */
static void test_swallowed_sync_is_seen(void) {
    Loss loss;
    int syncs = 0, caught = 0;
    loss_init(&loss, "edits");
    for (;; syncs++) {
        Recording recording;
        Str what, rest;
        bool is_hit = false;
        scenario_reset(&loss.run);
        record(&loss, NULL, syncs + 1, &recording);
        rest = recording.log;
        for (Call call; call_next(&rest, &recording.arena, &call);)
            is_hit |= call.is_injected;
        memset(loss.seen, 0, SEEN_MAX * sizeof *loss.seen);
        bool is_caught = is_hit && !explore(&loss, &recording, loss.run.after, 1, 4, true, &what);
        if (is_full_run() && is_hit)
            printf("    without sync %d: %.*s\n", syncs + 1, is_caught ? (int)str_find(what, S("\n"), 0) : 5,
                   is_caught ? what.ptr : "fine\n");
        caught += is_caught;
        arena_free(&recording.arena);
        if (!is_hit)
            break;
    }
    CHECK_MSG(syncs >= 8 && caught >= 5, "%d of %d swallowed syncs were seen", caught, syncs);
    loss_close(&loss);
}

static const TestCase TESTS[] = {
    {"every_prefix", test_every_prefix},
    {"during_recovery", test_during_recovery},
    {"swallowed_sync_is_seen", test_swallowed_sync_is_seen},
};
TEST_SUITE(WORKSPACE_POWERLOSS_SUITE, "powerloss", TESTS);
