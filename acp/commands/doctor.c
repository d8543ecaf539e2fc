/* doctor: what this machine offers. */
#define _GNU_SOURCE
#include <cjson/cJSON.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "acp/commands/commands.h"
#include "acp/house.h"
#include "acp/version.h"
#include "base/os.h"

/* The words of /proc/cpuinfo's flags that make a difference here, in the order shown. */
static const char *const FEATURES[] = {"sse4_2",  "avx",      "f16c",        "fma",      "avx2",
                                       "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "amx_int8",
                                       "asimd",   "asimddp",  "i8mm",        "sve"};

static bool has_word(Str text, Str word) {
    for (size_t at = 0; (at = str_find(text, word, at)) != STR_NONE; at++) {
        bool begins = at == 0 || text.ptr[at - 1] == ' ',
             ends = at + word.len == text.len || text.ptr[at + word.len] == ' ';
        if (begins && ends)
            return true;
    }
    return false;
}

/* The value of the first line of /proc/cpuinfo with this name. */
static Str cpu_line(Str info, Str name) {
    Str line;
    while (str_next_line(&info, &line))
        if (str_starts(line, name))
            return str_trim(str_from(line, str_find_char(line, ':', 0) + 1));
    return S("");
}

/* /proc files have no size, so they are read as streams. */
static Str read_stream(const char *path, Arena *arena) {
    Buf text = {0};
    FILE *file = fopen(path, "re");
    size_t n = 1;
    while (file && n > 0 && text.len < (1 << 20) && buf_reserve(&text, 4096)) {
        n = fread(text.ptr + text.len, 1, 4096, file);
        text.len += n;
    }
    if (file)
        fclose(file);
    Str all = buf_copy(&text, arena);
    buf_free(&text);
    return all;
}

static Json *cpu_facts(Arena *arena) {
    Str info = read_stream("/proc/cpuinfo", arena);
    Str flags = cpu_line(info, S("flags"));
    if (!flags.len)
        flags = cpu_line(info, S("Features"));
    Json *cpu = json_object();
    json_put_str(cpu, "model", cpu_line(info, S("model name")));
    json_put_int(cpu, "processors", os_cpu_count());
    Json *features = json_put_array(cpu, "features");
    for (size_t i = 0; i < sizeof FEATURES / sizeof *FEATURES; i++)
        if (has_word(flags, str_of(FEATURES[i])))
            json_push(features, json_text(str_of(FEATURES[i])));
    return cpu;
}

static Json *gpu_facts(Arena *arena) {
    Json *gpus = json_array();
    for (int i = 0; i < 64; i++) {
        Str path = str_printf(arena, "/dev/nvidia%d", i);
        if (access(path.ptr, F_OK) == 0)
            json_push(gpus, json_text(path));
    }
    return gpus;
}

static const char *sandbox_level(void) {
    return access("/usr/bin/bwrap", X_OK) == 0 ? "bubblewrap is installed" : "none";
}

static Json *gather(House *house, Arena *arena) {
    struct sysinfo memory = {0};
    struct utsname system = {0};
    sysinfo(&memory);
    uname(&system);
    Json *json = json_object();
    json_put_str(json, "version", S(MUX_VERSION));
    json_put_str(json, "system",
                 str_printf(arena, "%s %s %s", system.sysname, system.release, system.machine));
    json_put(json, "cpu", cpu_facts(arena));
    json_put_num(json, "memory_bytes", (double)memory.totalram * memory.mem_unit);
    json_put(json, "gpus", gpu_facts(arena));
    json_put_str(json_put_object(json, "libraries"), "cjson", str_of(cJSON_Version()));
    json_put_str(json, "sandbox", str_of(sandbox_level()));
    Json *models = json_put_array(json, "models");
    Err err = {0};
    const ModelCard *cards = NULL;
    size_t count = house_engine(house, &err) ? engine_models(house->engine, &cards) : 0;
    for (size_t i = 0; i < count; i++)
        json_push(models, json_text(cards[i].name));
    Chat *chat = house->engine ? chat_open(house->engine, S(""), &err) : NULL;
    json_put_bool(json, "model_works", chat != NULL);
    if (!chat)
        json_put_str(json, "model_problem", str_of(err.text));
    chat_close(chat);
    return json;
}

static void print_list(const char *name, const Json *list) {
    printf("%-11s", name);
    if (!json_len(list))
        printf(" none");
    JSON_EACH(item, list)
    printf(" %s", item->valuestring);
    putchar('\n');
}

static void print_facts(const Json *facts) {
    const Json *cpu = json_find(facts, "cpu");
    printf("mux-acp     %.*s (%.*s)\n", STR_ARG(json_str(facts, "version")),
           STR_ARG(json_str(facts, "system")));
    printf("cpu         %.*s, %lld processors\n", STR_ARG(json_str(cpu, "model")),
           (long long)json_int(cpu, "processors", 0));
    print_list("features", json_find(cpu, "features"));
    printf("memory      %.1f GiB\n", json_num(facts, "memory_bytes", 0) / 1073741824.0);
    print_list("gpus", json_find(facts, "gpus"));
    printf("sandbox     %.*s\n", STR_ARG(json_str(facts, "sandbox")));
    print_list("models", json_find(facts, "models"));
    if (json_bool(facts, "model_works", false))
        printf("model       works\n");
    else
        printf("model       does not work: %.*s\n", STR_ARG(json_str(facts, "model_problem")));
}

static int run(const Settings *settings) {
    Arena arena = {0};
    House house;
    house_init(&house, settings);
    Json *facts = gather(&house, &arena);
    bool works = json_bool(facts, "model_works", false), is_printed = true;
    if (settings_has(settings, OPT_JSON)) {
        is_printed = command_print_json(facts);
    } else {
        print_facts(facts);
        json_free(facts);
    }
    house_close(&house);
    arena_free(&arena);
    return works && is_printed ? STATUS_DONE : STATUS_FAILED;
}

const Command COMMAND_DOCTOR = {
    "doctor", "[--json]", "what this machine offers", OPTIONS_ENGINE | OPTION(JSON), run,
};
