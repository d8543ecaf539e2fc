#define _GNU_SOURCE
#include "tests/runner.h"

#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OUTCOME_PASSED, OUTCOME_FAILED, OUTCOME_SKIPPED, OUTCOME_KINDS };

static jmp_buf test_end;
static char tmp_dir[256];
static uint64_t random_state, random_seed = 1;

_Noreturn void test_fail(const char *file, int line, const char *format, ...) {
    fprintf(stderr, "    %s:%d: ", file, line);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, " (seed %llu)\n", (unsigned long long)random_seed);
    longjmp(test_end, 1 + OUTCOME_FAILED);
}

_Noreturn void test_skip(const char *why) {
    printf("    skipped: %s\n", why);
    longjmp(test_end, 1 + OUTCOME_SKIPPED);
}

void test_check_int(const char *file, int line, const char *what, long long actual, long long expected) {
    if (actual != expected)
        test_fail(file, line, "%s is %lld, expected %lld", what, actual, expected);
}

void test_check_str(const char *file, int line, const char *what, Str actual, Str expected) {
    if (!str_eq(actual, expected))
        test_fail(file, line, "%s is\n<<%.*s>>\nexpected\n<<%.*s>>", what, STR_ARG(actual),
                  STR_ARG(expected));
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *walk) {
    (void)st;
    (void)walk;
    if (kind == FTW_D)
        chmod(path, 0700);
    return remove(path);
}

static void remove_tmp(void) {
    if (tmp_dir[0])
        nftw(tmp_dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    tmp_dir[0] = 0;
}

const char *test_tmp(void) {
    if (!tmp_dir[0]) {
        const char *base = getenv("TMPDIR");
        snprintf(tmp_dir, sizeof tmp_dir, "%s/mux-test-XXXXXX", base ? base : "/tmp");
        if (!mkdtemp(tmp_dir))
            test_fail(__FILE__, __LINE__, "cannot make a temporary folder in %s", base ? base : "/tmp");
    }
    return tmp_dir;
}

const char *test_source_dir(void) {
    return MUX_SOURCE_DIR;
}

Str test_shared(Arena *arena, const char *relative) {
    const char *root = getenv("MUX_SHARED");
    Str path = root ? str_printf(arena, "%s/%s", root, relative)
                    : str_printf(arena, "%s/../shared/%s", MUX_SOURCE_DIR, relative);
    if (access(path.ptr, R_OK) != 0) {
        char why[512];
        snprintf(why, sizeof why, "shared data %s is not there", relative);
        arena_free(arena); /* the test ends here and cannot do it */
        test_skip(why);
    }
    return path;
}

void test_seed(uint64_t seed) {
    random_state = random_seed = seed;
}

uint64_t test_random(void) {
    uint64_t z = random_state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

static bool is_wanted(const char *full_name, char **filters, int n) {
    for (int i = 0; i < n; i++)
        if (strstr(full_name, filters[i]))
            return true;
    return n == 0;
}

static int run_case(const TestCase *test) {
    const char *seed = getenv("MUX_SEED");
    test_seed(seed ? strtoull(seed, NULL, 10) : 1);
    volatile int outcome = OUTCOME_PASSED;
    int jumped = setjmp(test_end);
    if (jumped == 0)
        test->run();
    else
        outcome = jumped - 1;
    remove_tmp();
    return outcome;
}

int main(int argc, char **argv) {
    bool list = argc > 1 && strcmp(argv[1], "--list") == 0;
    int first_filter = list ? 2 : 1;
    static const char *const WORDS[] = {"ok  ", "FAIL", "skip"};
    int counts[OUTCOME_KINDS] = {0};
    setvbuf(stdout, NULL, _IOLBF, 0);
    setenv("MUX_STATE_DIR", "none", 1); /* programs under test leave the user's sessions alone */
    for (size_t s = 0; s < TEST_SUITE_COUNT; s++) {
        for (size_t i = 0; i < TEST_SUITES[s]->count; i++) {
            char name[256];
            snprintf(name, sizeof name, "%s/%s", TEST_SUITES[s]->name, TEST_SUITES[s]->cases[i].name);
            if (!is_wanted(name, argv + first_filter, argc - first_filter))
                continue;
            if (list) {
                puts(name);
                continue;
            }
            int outcome = run_case(&TEST_SUITES[s]->cases[i]);
            counts[outcome]++;
            printf("%s %s\n", WORDS[outcome], name);
        }
    }
    if (!list)
        printf("%d passed, %d failed, %d skipped\n", counts[OUTCOME_PASSED], counts[OUTCOME_FAILED],
               counts[OUTCOME_SKIPPED]);
    return counts[OUTCOME_FAILED] ? 1 : 0;
}
