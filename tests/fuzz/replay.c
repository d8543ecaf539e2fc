/* Runs every file of the folders (or the files) named as arguments through a fuzz target, as a plain test.
 *
 * The target aborts on a violated invariant; the name of the file that runs is printed first, so that the
 * last line tells.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t passed, failed;

static void replay_file(const char *path) {
    FILE *file = fopen(path, "rb");
    struct stat st;
    uint8_t *data = NULL;
    if (!file || fstat(fileno(file), &st) != 0 || !(data = malloc((size_t)st.st_size + 1)) ||
        fread(data, 1, (size_t)st.st_size, file) != (size_t)st.st_size) {
        fprintf(stderr, "FAIL %s: cannot be read\n", path);
        failed++;
    } else {
        printf("run  %s\n", path);
        fflush(stdout);
        /* an exact block, so that a sanitizer sees a read past the end */
        uint8_t *exact = realloc(data, st.st_size ? (size_t)st.st_size : 1);
        data = exact ? exact : data;
        LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
        passed++;
    }
    free(data);
    if (file)
        fclose(file);
}

static void replay(const char *path) {
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
        replay_file(path);
        return;
    }
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        if (stat(file, &st) == 0 && S_ISREG(st.st_mode))
            replay_file(file);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    if (passed + failed == 0) {
        fprintf(stderr, "FAIL no corpus file was found\n");
        failed++;
    }
    printf("%zu passed, %zu failed, 0 skipped\n", passed, failed);
    return failed ? 1 : 0;
}
