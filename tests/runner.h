/* A small table runner: each test file exports one TestSuite, tests/<room>_suites.c lists them.
 *
 * Usage of the binary: tests-ROOM [--list] [FILTER...]. A test fails through CHECK*, which report and go on
 * to the next test; it is skipped through SKIP("why"). The last line is "N passed, N failed, N skipped".
 * Tests get TEST_TMP, a fresh empty folder, through test_tmp(); it is removed afterwards.
 */
#ifndef MUX_TESTS_RUNNER_H
#define MUX_TESTS_RUNNER_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

typedef struct TestCase {
    const char *name;
    void (*run)(void);
} TestCase;

typedef struct TestSuite {
    const char *name;
    const TestCase *cases;
    size_t count;
} TestSuite;

/* The room's list, defined once per test binary. */
extern const TestSuite *const TEST_SUITES[];
extern const size_t TEST_SUITE_COUNT;

#define TEST_SUITE(symbol, suite_name, table)                                                                \
    const TestSuite symbol = {suite_name, table, sizeof(table) / sizeof *(table)}

_Noreturn void test_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void test_skip(const char *why);

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            test_fail(__FILE__, __LINE__, "%s", #condition);                                                 \
    } while (0)
#define CHECK_MSG(condition, ...)                                                                            \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            test_fail(__FILE__, __LINE__, __VA_ARGS__);                                                      \
    } while (0)
#define CHECK_INT(actual, expected)                                                                          \
    test_check_int(__FILE__, __LINE__, #actual, (long long)(actual), (long long)(expected))
#define CHECK_STR(actual, expected) test_check_str(__FILE__, __LINE__, #actual, (actual), (expected))
/* ok is a fallible call's result; prints err.text when false. */
#define CHECK_OK(ok, err) CHECK_MSG((ok), "%s: %s", #ok, (err).text)
#define SKIP(why) test_skip(why)

void test_check_int(const char *file, int line, const char *what, long long actual, long long expected);
void test_check_str(const char *file, int line, const char *what, Str actual, Str expected);

const char *test_tmp(void);        /* fresh folder for the running test */
const char *test_source_dir(void); /* repository root, for fixtures */
/* Path below the optional shared data folder (../shared or $MUX_SHARED), or skips the test, naming the file.
 */
Str test_shared(Arena *arena, const char *relative);
/* Deterministic random numbers (splitmix64), seeded by MUX_SEED or 1; printed on failure. */
uint64_t test_random(void);
void test_seed(uint64_t seed);

#endif
