#define _GNU_SOURCE
#include "kernels/cpu/cpu_internal.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

static const char *const LEVEL_NAMES[CPU_LEVEL_COUNT] = {"portable C", "AVX2", "AVX-512 VNNI"};

static CpuLevel best_level(void) {
#if defined(__x86_64__)
    unsigned a, b, c = 0, d;
    bool has_f16c = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
    if (!has_f16c || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return CPU_LEVEL_C;
    bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512vnni");
    return has_avx512 ? CPU_LEVEL_AVX512 : CPU_LEVEL_AVX2;
#else
    return CPU_LEVEL_C;
#endif
}

bool cpu_force_level(Backend *backend, CpuLevel level) {
    CpuBackend *cpu = (CpuBackend *)backend;
    if (level > best_level())
        return false;
    cpu->level = level;
    cpu_kernels_c(&cpu->kernels);
#if defined(__x86_64__)
    if (level >= CPU_LEVEL_AVX2)
        cpu_kernels_avx2(&cpu->kernels);
    if (level >= CPU_LEVEL_AVX512)
        cpu_kernels_avx512(&cpu->kernels);
#endif
    return true;
}

static int processors_available(void) {
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
    return count > 0 ? count : 1;
}

static void cpu_close(Backend *backend) {
    CpuBackend *cpu = (CpuBackend *)backend;
    if (cpu->workers)
        for (int i = 0; i < pool_threads(cpu->pool); i++)
            scratch_free(&cpu->host, &cpu->workers[i]);
    free(cpu->workers);
    pool_close(cpu->pool);
    scratch_free(&cpu->host, &cpu->activations);
    scratch_free(&cpu->host, &cpu->experts.lists);
    scratch_free(&cpu->host, &cpu->experts.rows);
    scratch_free(&cpu->host, &cpu->experts.up);
    scratch_free(&cpu->host, &cpu->experts.down);
    scratch_free(&cpu->host, &cpu->experts.activations);
    scratch_free(&cpu->host, &cpu->rope.turns);
    scratch_free(&cpu->host, &cpu->rope.key);
    free(cpu);
}

static Backend *cpu_open(const BackendConfig *config, KernelError *error) {
    enum { MAX_THREADS = 1024 };
    int threads = config->threads > 0 ? config->threads : processors_available();
    if (threads > MAX_THREADS)
        threads = MAX_THREADS;
    CpuBackend *cpu = calloc(1, sizeof *cpu);
    if (cpu)
        cpu->pool = pool_open(threads);
    if (cpu && cpu->pool)
        cpu->workers = calloc((size_t)threads, sizeof *cpu->workers);
    if (!cpu || !cpu->workers) {
        if (cpu)
            cpu_close(&cpu->host.base);
        kernel_error_set(error, "cannot start %d threads; ask for fewer", threads);
        return NULL;
    }
    cpu->host.base.kind = &CPU_BACKEND;
    cpu->host.base.ops = (Ops){.embed = cpu_embed,
                               .rms_norm = cpu_rms_norm,
                               .matmul = cpu_matmul,
                               .rope = cpu_rope,
                               .kv_write = cpu_kv_write,
                               .attend = cpu_attend,
                               .swiglu = cpu_swiglu,
                               .add = cpu_add,
                               .route = cpu_route,
                               .experts = cpu_experts};
    cpu_force_level(&cpu->host.base, best_level());
    return &cpu->host.base;
}

static void cpu_info(const Backend *backend, DeviceInfo *out) {
    const CpuBackend *cpu = (const CpuBackend *)backend;
    *out = (DeviceInfo){.name = "cpu", .threads = pool_threads(cpu->pool), .is_host = true};
    out->kv_types = 1ull << DTYPE_F32 | 1ull << DTYPE_F16;
    host_memory_facts(&out->memory_bytes, &out->memory_free);
    snprintf(out->description, sizeof out->description, "cpu, %d thread%s, %s", out->threads,
             out->threads == 1 ? "" : "s", LEVEL_NAMES[cpu->level]);
}

bool cpu_reserve_workers(CpuBackend *cpu, size_t bytes) {
    for (int i = 0; i < pool_threads(cpu->pool); i++)
        if (!scratch_reserve(&cpu->host, &cpu->workers[i], bytes))
            return false;
    return true;
}

static void cpu_set_stop(Backend *backend, BackendStop stop) {
    pool_set_stop(((CpuBackend *)backend)->pool, stop);
}

typedef struct ReadJob {
    const CpuKernels *kernels;
    const char *bytes;
    size_t piece;
    uint64_t *sums; /* one per piece, so that no read is idle */
} ReadJob;

static void read_piece(void *context, int item, int worker) {
    ReadJob *job = context;
    (void)worker;
    job->sums[item] = job->kernels->read_sum(job->bytes + (size_t)item * job->piece, job->piece);
}

static double cpu_read_bandwidth(Backend *backend) {
    enum { PIECES = 256, PIECE = 1 << 20, ROUNDS = 5 };
    CpuBackend *cpu = (CpuBackend *)backend;
    uint64_t sums[PIECES];
    Mem mem;
    if (!host_alloc(backend, (size_t)PIECES * PIECE, &mem))
        return 0;
    memset(mem.address, 1, mem.bytes); /* pages of its own: untouched ones may all be the same one */
    ReadJob job = {&cpu->kernels, mem.address, PIECE, sums};
    double best = 0;
    for (int i = 0; i < ROUNDS; i++) {
        double start = host_seconds();
        pool_run(cpu->pool, read_piece, &job, PIECES);
        double rate = (double)PIECES * PIECE / (host_seconds() - start);
        best = rate > best ? rate : best;
    }
    host_free(backend, &mem);
    return best;
}

const BackendKind CPU_BACKEND = {.name = "cpu",
                                 .open = cpu_open,
                                 .close = cpu_close,
                                 .info = cpu_info,
                                 .alloc = host_alloc,
                                 .reserve = host_reserve,
                                 .commit = host_commit,
                                 .free = host_free,
                                 .no_room = host_no_room,
                                 .memory = host_memory,
                                 .put = host_put,
                                 .get = host_get,
                                 .matrix_bytes = host_matrix_bytes,
                                 .matrix = host_matrix,
                                 .random_matrix = host_random_matrix,
                                 .begin = host_begin,
                                 .set_stop = cpu_set_stop,
                                 .read_bandwidth = cpu_read_bandwidth};
