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

/* What there is, and in one sentence why none can be used. */
static Json *gpu_facts(Json *json) {
    enum { MOST = 16 };
    GpuCard cards[MOST];
    Err why = {0};
    size_t count = engine_gpus(cards, MOST, &why);
    Json *gpus = json_array();
    for (size_t i = 0; i < count && i < MOST; i++) {
        Json *gpu = json_object();
        json_put_str(gpu, "description", str_of(cards[i].description));
        json_put_num(gpu, "memory_bytes", (double)cards[i].memory_bytes);
        json_put_num(gpu, "memory_free", (double)cards[i].memory_free);
        json_put_int(gpu, "clock_mhz", cards[i].clock_mhz);
        json_put_int(gpu, "memory_clock_mhz", cards[i].memory_clock_mhz);
        json_push(gpus, gpu);
    }
    if (count == 0)
        json_put_str(json, "gpu_problem", str_of(why.text));
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
    json_put(json, "gpus", gpu_facts(json));
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

static void print_gpus(const Json *facts) {
    JSON_EACH(gpu, json_find(facts, "gpus"))
    printf("gpu         %.*s, %.1f of %.1f GiB free, %lld MHz, memory %lld MHz\n",
           STR_ARG(json_str(gpu, "description")), json_num(gpu, "memory_free", 0) / 1073741824.0,
           json_num(gpu, "memory_bytes", 0) / 1073741824.0, (long long)json_int(gpu, "clock_mhz", 0),
           (long long)json_int(gpu, "memory_clock_mhz", 0));
    if (!json_len(json_find(facts, "gpus")))
        printf("gpu         none: %.*s\n", STR_ARG(json_str(facts, "gpu_problem")));
}

static void print_facts(const Json *facts) {
    const Json *cpu = json_find(facts, "cpu");
    printf("mux-acp     %.*s (%.*s)\n", STR_ARG(json_str(facts, "version")),
           STR_ARG(json_str(facts, "system")));
    printf("cpu         %.*s, %lld processors\n", STR_ARG(json_str(cpu, "model")),
           (long long)json_int(cpu, "processors", 0));
    print_list("features", json_find(cpu, "features"));
    printf("memory      %.1f GiB\n", json_num(facts, "memory_bytes", 0) / 1073741824.0);
    print_gpus(facts);
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
