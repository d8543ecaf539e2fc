/* bench: prompt and generation speed of a model, and how much of the memory's bandwidth that is. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "acp/commands/commands.h"
#include "acp/house.h"
#include "base/os.h"

#define REPS_MAX 1000

typedef struct BenchResult {
    size_t prompt_n, gen_n, reps;
    double prompt_tps[REPS_MAX], gen_tps[REPS_MAX];
    LoadReport load;
} BenchResult;

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t n) {
    qsort(values, n, sizeof *values, by_size);
    return n ? (values[(n - 1) / 2] + values[n / 2]) / 2 : 0;
}

/* Any tokens do; these differ from repetition to repetition, so that no prefix is shared. */
static void fill_prompt(TokenList *list, size_t n, size_t vocabulary, size_t rep) {
    list->count = 0;
    uint64_t state = 88172645463325252u + rep * 7919;
    for (size_t i = 0; i < n; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        tokens_push(list, (int32_t)(state % vocabulary));
    }
}

static bool run_once(Chat *chat, BenchResult *result, TokenList *list, size_t rep, Err *err) {
    size_t vocabulary = result->load.vocabulary;
    fill_prompt(list, result->prompt_n, vocabulary, rep);
    chat_rewind(chat, 0); /* the warm-up read the same prompt */
    Sampling sampling = {.max_tokens = result->gen_n, .ignore_end = true};
    Usage usage = {0};
    double begun = os_monotonic_ms();
    if (!chat_sync_tokens(chat, list->ids, list->count, err))
        return false;
    double prompt_ms = os_monotonic_ms() - begun;
    begun = os_monotonic_ms();
    if (result->gen_n && !chat_generate(chat, &sampling, NULL, (ChatSink){0}, &usage, err))
        return false;
    double gen_ms = os_monotonic_ms() - begun;
    result->prompt_tps[rep] = prompt_ms > 0 ? (double)result->prompt_n * 1e3 / prompt_ms : 0;
    result->gen_tps[rep] = gen_ms > 0 ? (double)usage.output_tokens * 1e3 / gen_ms : 0;
    return true;
}

static bool measure(Chat *chat, const Settings *settings, BenchResult *result, Err *err) {
    result->prompt_n = settings_count(settings, OPT_PROMPT_SIZE, 512);
    result->gen_n = settings_count(settings, OPT_NUMBER, 64);
    result->reps = settings_count(settings, OPT_REPS, 5);
    chat_report(chat, false, &result->load);
    if (result->load.vocabulary == 0)
        return err_set(err, ERR_UNSUPPORTED, "a scripted model computes nothing; name a real one");
    if (result->reps == 0 || result->reps > REPS_MAX || result->prompt_n == 0)
        return err_set(err, ERR_INVALID, "-p must be at least 1, --reps from 1 to %d", REPS_MAX);
    TokenList list = {0};
    bool ok = run_once(chat, result, &list, 0, err); /* warm-up: pages and caches */
    for (size_t rep = 0; ok && rep < result->reps; rep++)
        ok = run_once(chat, result, &list, rep, err);
    tokens_free(&list);
    chat_report(chat, true, &result->load);
    return ok;
}

/* How fast the model's file comes from the disk when no cache has it: bytes per second over its first part,
 * read past the cache. 0 where that cannot be done. */
static double disk_rate(Str path) {
    enum { PIECE = 8 << 20, MOST = 64 };
    Arena scratch = {0};
    void *piece = aligned_alloc(4096, PIECE);
    int file = piece ? open(str_cstr(&scratch, path), O_RDONLY | O_CLOEXEC | O_DIRECT) : -1;
    double begun = os_monotonic_ms(), bytes = 0;
    for (int i = 0; file >= 0 && i < MOST; i++) {
        ssize_t n = read(file, piece, PIECE);
        if (n <= 0)
            break;
        bytes += (double)n;
    }
    double ms = os_monotonic_ms() - begun;
    if (file >= 0)
        close(file);
    free(piece);
    arena_free(&scratch);
    return bytes > 0 && ms > 0 ? bytes / ms * 1e3 : 0;
}

static Json *speed_json(size_t n, double best, double middle) {
    Json *json = json_object();
    json_put_int(json, "n", (int64_t)n);
    json_put_num(json, "best", best);
    json_put_num(json, "median", middle);
    return json;
}

static bool report(const Settings *settings, const ModelCard *card, BenchResult *result) {
    double prompt_median = median(result->prompt_tps, result->reps);
    double gen_median = median(result->gen_tps, result->reps);
    double prompt_best = result->prompt_tps[result->reps - 1], gen_best = result->gen_tps[result->reps - 1];
    double bytes =
        (double)result->load.weight_bytes +
        (double)result->load.kv_bytes_per_token * ((double)result->prompt_n + (double)result->gen_n / 2);
    double gbps = bytes * gen_best / 1e9, read_gbps = result->load.read_bytes_per_second / 1e9;
    size_t threads = settings_count(settings, OPT_THREADS, (size_t)os_cpu_count());
    Str backend = str_of(result->load.backend);
    bool is_copied = result->load.device_bytes && result->load.file_bytes; /* a host maps the file instead */
    double load_gbps = is_copied && result->load.load_ms > 0
                           ? (double)result->load.file_bytes / result->load.load_ms / 1e6
                           : 0;
    double disk_gbps = is_copied ? disk_rate(card->path) / 1e9 : 0;
    if (!settings_has(settings, OPT_JSON)) {
        printf("%.*s %.*s on %.*s (%s), %zu threads, loaded in %.1f ms\n", STR_ARG(card->name),
               STR_ARG(card->type), STR_ARG(backend), result->load.device, threads, result->load.load_ms);
        printf("prompt      %5zu tokens: best %9.1f tok/s, median %9.1f\n", result->prompt_n, prompt_best,
               prompt_median);
        printf("generation  %5zu tokens: best %9.1f tok/s, median %9.1f, %.2f of %.2f GB/s\n", result->gen_n,
               gen_best, gen_median, gbps, read_gbps);
        if (load_gbps > 0)
            printf("loading     %9.2f GB/s; the disk gives %.2f GB/s\n", load_gbps, disk_gbps);
        if (result->load.note[0])
            printf("not on a GPU: %s\n", result->load.note);
        return fflush(stdout) == 0;
    }
    Json *json = json_object();
    json_put_str(json, "model", card->name);
    json_put_str(json, "type", card->type);
    json_put_str(json, "backend", backend);
    json_put_str(json, "device", str_of(result->load.device));
    json_put_int(json, "threads", (int64_t)threads);
    json_put(json, "prompt", speed_json(result->prompt_n, prompt_best, prompt_median));
    Json *gen = speed_json(result->gen_n, gen_best, gen_median);
    json_put_num(gen, "gbps", gbps);
    json_put_num(gen, "share", read_gbps > 0 ? gbps / read_gbps : 0);
    json_put(json, "gen", gen);
    json_put_num(json, "read_gbps", read_gbps);
    json_put_num(json, "load_ms", result->load.load_ms);
    json_put_num(json, "load_gbps", load_gbps);
    json_put_num(json, "disk_gbps", disk_gbps);
    json_put_num(json, "device_bytes", (double)result->load.device_bytes);
    if (result->load.note[0])
        json_put_str(json, "note", str_of(result->load.note));
    return command_print_json(json);
}

static int run(const Settings *settings) {
    Err err = {0};
    House house;
    house_init(&house, settings);
    BenchResult *result = calloc(1, sizeof *result);
    int status = STATUS_CANNOT_START;
    Chat *chat = result && house_engine(&house, &err) ? chat_open(house.engine, S(""), &err) : NULL;
    if (chat && measure(chat, settings, result, &err))
        status = report(settings, chat_card(chat), result) ? STATUS_DONE : STATUS_FAILED;
    else
        command_fail("bench", status = chat ? STATUS_FAILED : STATUS_CANNOT_START, &err);
    chat_close(chat);
    house_close(&house);
    free(result);
    return status;
}

const Command COMMAND_BENCH = {
    "bench",
    "--model M | --synthetic SHAPE:TYPE [-p 512] [-n 64] [-t T] [--backend B] [--reps R] [--json]",
    "prompt and generation speed",
    OPTIONS_ENGINE | OPTION(SYNTHETIC) | OPTION(PROMPT_SIZE) | OPTION(NUMBER) | OPTION(REPS) | OPTION(JSON),
    run,
};
