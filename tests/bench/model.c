/* bench-model [MODEL.gguf [prompt tokens [generated tokens [threads [backend]]]]]: tokens per second of a
 * whole model, without sampling: prefill of a prompt, then one token after another. Best of three runs after
 * one to warm up, the way other engines are measured; also the share of the memory bandwidth that generation
 * reaches. Without a model it measures the small one of the build, when started in the folder that holds it.
 */
#include "engine/decoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { RUNS = 4 };

typedef struct Run {
    Gguf *file;
    Weights weights;
    Decoder decoder;
    KvArena arena;
    Kv kv;
    Mem logits;
    int32_t *ids;
    size_t prompt, generated;
} Run;

static double seconds_now(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool run_open(Run *run, const char *path, Backend *backend, Err *err) {
    Shape shape;
    run->file = gguf_open(path, err);
    const Arch *arch = run->file ? arch_of(run->file, err) : NULL;
    if (!arch || !arch->read_shape(run->file, &shape, err))
        return false;
    weights_open(&run->weights, run->file, backend);
    if (!decoder_open(&run->decoder, arch, &shape, &run->weights, err))
        return false;
    size_t most = run->prompt > run->generated ? run->prompt : run->generated;
    run->ids = calloc(most, sizeof *run->ids);
    for (size_t i = 0; i < most && run->ids; i++)
        run->ids[i] = (int32_t)((300 + i * 7919 % 20000) % (size_t)shape.vocabulary);
    if (!run->ids || !backend_alloc(backend, (size_t)shape.vocabulary * sizeof(float), &run->logits))
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    KvShape kv = {.layers = shape.layers,
                  .row_values = (int64_t)shape.kv_heads * shape.head_width,
                  .type = run->weights.is_all_f32 ? DTYPE_F32 : DTYPE_F16,
                  .limit = most + 1};
    return kv_arena_open(&run->arena, backend, &kv, err) && kv_open(&run->kv, &run->arena, err);
}

static void run_close(Run *run, Backend *backend) {
    kv_close(&run->kv);
    kv_arena_close(&run->arena);
    backend_free(backend, &run->logits);
    decoder_close(&run->decoder);
    weights_close(&run->weights);
    gguf_close(run->file);
    free(run->ids);
}

/* Tokens per second of feeding `count` tokens from position 0, `step` at a time. */
static bool feed(Run *run, size_t count, size_t step, double *rate, Err *err) {
    double start = seconds_now();
    for (size_t at = 0; at < count; at += step) {
        size_t done;
        if (!kv_reserve(&run->kv, at + step, err) ||
            !decoder_run(&run->decoder, &run->kv, run->ids + at, step, at, NULL, run->logits.address, &done,
                         err))
            return false;
    }
    double now = (double)count / (seconds_now() - start);
    *rate = now > *rate ? now : *rate;
    return true;
}

static bool measure(Run *run, Backend *backend, Err *err) {
    double prompt = 0, generated = 0, ignored = 0;
    for (int i = 0; i < RUNS; i++)
        if (!feed(run, run->prompt, run->prompt, i ? &prompt : &ignored, err) ||
            !feed(run, run->generated, 1, i ? &generated : &ignored, err))
            return false;
    double bandwidth = backend_read_bandwidth(backend);
    double bytes = (double)decoder_bytes_per_token(&run->decoder, &run->weights);
    printf("prompt %zu: %.1f tokens/s, generate %zu: %.1f tokens/s, %.1f GB/s, %.0f %% of the %.1f GB/s read "
           "from memory\n",
           run->prompt, prompt, run->generated, generated, generated * bytes / 1e9,
           100 * generated * bytes / bandwidth, bandwidth / 1e9);
    return true;
}

int main(int argc, char **argv) {
    const char *path = argc > 1 ? argv[1] : "mux-tiny-q8_0.gguf";
    Run run = {.prompt = argc > 2 ? (size_t)atoi(argv[2]) : 512,
               .generated = argc > 3 ? (size_t)atoi(argv[3]) : 64};
    KernelError failure;
    BackendConfig config = {.name = argc > 5 ? argv[5] : NULL, .threads = argc > 4 ? atoi(argv[4]) : 0};
    Backend *backend = backend_open(&config, &failure);
    if (!backend) {
        fprintf(stderr, "bench-model: %s\n", failure.text);
        return 1;
    }
    Err err = {0};
    bool ok = run.prompt > 0 && run.generated > 0 && run_open(&run, path, backend, &err) &&
              measure(&run, backend, &err);
    if (!ok)
        fprintf(stderr, "bench-model: %s\n", err.text);
    run_close(&run, backend);
    backend_close(backend);
    return ok ? 0 : 1;
}
