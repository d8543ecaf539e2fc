/* bench-start [PROGRAM [RUNS]]: from fork to the answer of `initialize`, and the resident memory then, before
 * any model is loaded. Medians of RUNS (41) after one to warm up. The program defaults to ./mux-acp.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char REQUEST[] =
    "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":1,"
    "\"clientCapabilities\":{\"fs\":{\"readTextFile\":true,\"writeTextFile\":true}}}}\n";

static double milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static double resident_mb(pid_t pid) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    long kilobytes = 0;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmRSS: %ld kB", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return (double)kilobytes / 1024;
}

static bool run_once(const char *program, double *out_ms, double *out_mb) {
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
        return false;
    double start = milliseconds();
    pid_t pid = fork();
    if (pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        execl(program, program, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    bool sent = write(to[1], REQUEST, sizeof REQUEST - 1) == (ssize_t)sizeof REQUEST - 1;
    char answer[65536];
    ssize_t n, used = 0;
    while (sent && used < (ssize_t)sizeof answer &&
           (n = read(from[0], answer + used, sizeof answer - (size_t)used)) > 0) {
        used += n;
        if (memchr(answer, '\n', (size_t)used))
            break;
    }
    *out_ms = milliseconds() - start;
    *out_mb = resident_mb(pid);
    close(to[1]);
    close(from[0]);
    int status;
    waitpid(pid, &status, 0);
    return memmem(answer, (size_t)used, "\"protocolVersion\"", 17) != NULL;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    const char *program = argc > 1 ? argv[1] : "./mux-acp";
    int runs = argc > 2 ? atoi(argv[2]) : 41;
    if (runs < 1 || runs > 1000) {
        fprintf(stderr, "usage: bench-start [PROGRAM [RUNS]]\n");
        return 2;
    }
    double ms[1001], mb[1001];
    for (int i = 0; i <= runs; i++)
        if (!run_once(program, &ms[i], &mb[i])) {
            fprintf(stderr, "bench-start: %s did not answer initialize\n", program);
            return 1;
        }
    qsort(ms + 1, (size_t)runs, sizeof *ms, compare);
    qsort(mb + 1, (size_t)runs, sizeof *mb, compare);
    printf("start to initialize answer: median %.2f ms, best %.2f, worst %.2f (%d runs); resident %.1f MB\n",
           ms[1 + runs / 2], ms[1], ms[runs], runs, mb[1 + runs / 2]);
    return 0;
}
