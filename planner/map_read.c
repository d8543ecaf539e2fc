/* Reading for the map: texts, definitions, references. */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "planner/map_internal.h"
#include "planner/request.h"

enum { MOST_FILES = 30000, MOST_DEFINERS = 8, MOST_LINE = 160, LEAST_NAME = 3, MOST_DEPTH = 2 };
#define MOST_FILE_BYTES ((size_t)512 << 10)
#define MOST_BYTES ((size_t)256 << 20)

static bool is_cancelled(const MapOptions *options) {
    return options->cancelled && atomic_load(options->cancelled);
}

/* ---- texts ---- */

static bool read_texts(Workspace *ws, const MapOptions *options, MapGraph *graph, Err *err) {
    FileList list;
    size_t bytes = 0;
    if (!ws_list(ws, &graph->arena, &list, err))
        return false;
    graph->is_truncated = list.is_truncated;
    graph->sources = ARENA_ARRAY(&graph->arena, MapSource, list.count + 1);
    for (size_t i = 0; i < list.count; i++) {
        Language language = language_of(list.paths[i]);
        Path path;
        FileText read;
        Err why = {0};
        if (language == LANGUAGE_NONE)
            continue;
        if (is_cancelled(options))
            return err_set(err, ERR_CANCELLED, "cancelled");
        if (graph->source_count == MOST_FILES || bytes > MOST_BYTES) {
            graph->is_truncated = true;
            break;
        }
        if (!ws_path(ws, list.paths[i], &graph->arena, &path, &why) ||
            !ws_read(ws, path, &graph->arena, &read, &why) || read.text.len > MOST_FILE_BYTES)
            continue;
        bytes += read.text.len;
        graph->sources[graph->source_count++] =
            (MapSource){.path = path.relative, .text = read.text, .language = language};
    }
    return true;
}

/* ---- several threads, file by file ---- */

typedef struct Crew {
    const MapOptions *options;
    MapGraph *graph;
    atomic_size_t next;
    void (*work)(struct Crew *crew, MapSource *source, Arena *arena, uint32_t *counts);
} Crew;

typedef struct Worker {
    Crew *crew;
    pthread_t thread;
    bool has_thread;
    Arena *arena;     /* results */
    uint32_t *counts; /* one a name, zero between files */
} Worker;

static void *worker_main(void *argument) {
    Worker *worker = argument;
    Crew *crew = worker->crew;
    while (!is_cancelled(crew->options)) {
        size_t i = atomic_fetch_add(&crew->next, 1);
        if (i >= crew->graph->source_count)
            break;
        crew->work(crew, &crew->graph->sources[i], worker->arena, worker->counts);
    }
    return NULL;
}

static bool run_crew(Crew *crew, Err *err) {
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t count = processors < 1 ? 1 : processors > MAP_THREADS ? MAP_THREADS : (size_t)processors;
    Worker workers[MAP_THREADS] = {0};
    Arena scratch = {0};
    for (size_t i = 0; i < count; i++) {
        workers[i].crew = crew;
        workers[i].arena = &crew->graph->of_thread[i];
        workers[i].counts = ARENA_ARRAY(&scratch, uint32_t, crew->graph->name_count + 1);
        workers[i].has_thread =
            i + 1 < count && pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]) == 0;
    }
    worker_main(&workers[count - 1]);
    for (size_t i = 0; i < count; i++)
        if (workers[i].has_thread)
            pthread_join(workers[i].thread, NULL);
    arena_free(&scratch);
    return !is_cancelled(crew->options) || err_set(err, ERR_CANCELLED, "cancelled");
}

/* ---- definitions ---- */

static void read_symbols(Crew *crew, MapSource *source, Arena *arena, uint32_t *counts) {
    (void)crew, (void)counts;
    Err why = {0};
    if (!syntax_symbols(source->language, source->text, arena, &source->symbols, &why))
        source->symbols = (SymbolList){0};
}

/* The slot of a name: its own, or the empty one where it would stand. */
static size_t *slot_of(const MapGraph *graph, Str name) {
    size_t at = (size_t)str_hash(name) & (graph->slot_count - 1);
    while (graph->slots[at] && !str_eq(graph->names[graph->slots[at] - 1].text, name))
        at = (at + 1) & (graph->slot_count - 1);
    return &graph->slots[at];
}

static bool is_wanted(const Symbol *symbol) {
    return symbol->kind != SYMBOL_FIELD && symbol->kind != SYMBOL_MODULE && symbol->depth <= MOST_DEPTH &&
           symbol->name.len >= LEAST_NAME && !(symbol->kind == SYMBOL_VARIABLE && symbol->depth > 0);
}

static Str line_at(Str text, size_t at) {
    size_t begin = at, end = str_find_char(text, '\n', at);
    while (begin > 0 && text.ptr[begin - 1] != '\n')
        begin--;
    return str_trim_end(
        str_slice(str_slice(text, 0, end == STR_NONE ? text.len : end), begin, begin + MOST_LINE));
}

static size_t line_number(Str text, size_t first_line, size_t first_at, size_t at) {
    for (size_t i = first_at; i < at; i++)
        first_line += text.ptr[i] == '\n';
    return first_line;
}

/* C's way to say so stands in front. */
static bool is_file_local(Language language, Str line) {
    return (language == LANGUAGE_C || language == LANGUAGE_CPP) && str_starts(str_trim(line), S("static "));
}

static void add_definition(MapGraph *graph, size_t file, const Symbol *symbol, size_t line) {
    size_t *slot = slot_of(graph, symbol->name);
    if (!*slot) {
        MapName name = {.text = symbol->name};
        LIST_PUSH(&graph->arena, graph->names, graph->name_count, graph->name_capacity, name);
        *slot = graph->name_count;
    }
    MapName *name = &graph->names[*slot - 1];
    if (name->first && graph->definitions[name->first - 1].file == file)
        return; /* an overload, or a struct and its typedef: the first stands for all */
    MapDefinition definition = {.file = file,
                                .name = *slot - 1,
                                .line = line,
                                .text = line_at(graph->sources[file].text, symbol->name_begin),
                                .next = name->first};
    definition.is_local = is_file_local(graph->sources[file].language, definition.text);
    LIST_PUSH(&graph->arena, graph->definitions, graph->definition_count, graph->definition_capacity,
              definition);
    name->first = graph->definition_count;
    name->count += !definition.is_local;
}

/* Declarations only count for names that have no body anywhere. */
static void collect(MapGraph *graph, bool takes_declarations) {
    for (size_t i = 0; i < graph->source_count; i++) {
        const MapSource *source = &graph->sources[i];
        size_t line = 0, at = 0;
        for (size_t j = 0; j < source->symbols.count; j++) {
            const Symbol *symbol = &source->symbols.items[j];
            if (!is_wanted(symbol) || symbol->is_declaration != takes_declarations)
                continue;
            if (symbol->name_begin < at)
                line = at = 0;
            line = line_number(source->text, line, at, symbol->name_begin);
            at = symbol->name_begin;
            size_t named = *slot_of(graph, symbol->name);
            bool has_body = takes_declarations && named &&
                            named <= graph->bodied_names; /* names come in order: bodies first */
            if (!has_body)
                add_definition(graph, i, symbol, line);
        }
    }
}

/* One word in small letters is a local variable's name as often as not. */
static double telling(Str name) {
    bool is_capital = name.ptr[0] >= 'A' && name.ptr[0] <= 'Z';
    return is_compound(name) ? 1 : is_capital ? 0.7 : 0.1;
}

static void make_table(MapGraph *graph) {
    size_t symbols = 0;
    for (size_t i = 0; i < graph->source_count; i++)
        symbols += graph->sources[i].symbols.count;
    graph->slot_count = 1024;
    while (graph->slot_count < symbols * 2)
        graph->slot_count *= 2;
    graph->slots = ARENA_ARRAY(&graph->arena, size_t, graph->slot_count);
    collect(graph, false);
    graph->bodied_names = graph->name_count;
    collect(graph, true);
    for (size_t i = 0; i < graph->name_count; i++) {
        MapName *name = &graph->names[i];
        if (name->count && name->count <= MOST_DEFINERS)
            name->weight = telling(name->text) / (double)name->count;
    }
}

/* ---- references ---- */

static bool is_word_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (unsigned char)c >= 0x80;
}

static int family(Language language) {
    switch (language) {
    case LANGUAGE_C:
    case LANGUAGE_CPP: return 1;
    case LANGUAGE_JAVASCRIPT:
    case LANGUAGE_TYPESCRIPT:
    case LANGUAGE_TSX: return 2;
    default: return 2 + (int)language;
    }
}

bool map_reaches(const MapGraph *graph, const MapSource *from, const MapDefinition *to) {
    return !to->is_local && family(graph->sources[to->file].language) == family(from->language);
}

/* Not when the file defines the name itself. */
static bool refers(const MapGraph *graph, const MapName *name, const MapSource *source) {
    bool reaches = false;
    for (size_t at = name->first; at; at = graph->definitions[at - 1].next) {
        const MapDefinition *definition = &graph->definitions[at - 1];
        if (&graph->sources[definition->file] == source)
            return false;
        reaches = reaches || map_reaches(graph, source, definition);
    }
    return reaches;
}

/* counts holds how often each name was seen so far; the list those that were. */
static void count_words(const MapGraph *graph, Str text, Arena *scratch, uint32_t *counts, size_t **seen,
                        size_t *seen_count) {
    size_t capacity = 0;
    for (size_t i = 0; i < text.len;) {
        size_t begin = i;
        while (i < text.len && is_word_char(text.ptr[i]))
            i++;
        if (i - begin >= LEAST_NAME) {
            size_t slot = *slot_of(graph, str_slice(text, begin, i));
            if (slot && graph->names[slot - 1].weight > 0 && counts[slot - 1]++ == 0)
                LIST_PUSH(scratch, *seen, *seen_count, capacity, slot - 1);
        }
        i += i == begin;
    }
}

static void read_references(Crew *crew, MapSource *source, Arena *arena, uint32_t *counts) {
    const MapGraph *graph = crew->graph;
    Arena scratch = {0};
    size_t *seen = NULL, seen_count = 0;
    count_words(graph, source->text, &scratch, counts, &seen, &seen_count);
    source->references = ARENA_ARRAY(arena, MapReference, seen_count + 1);
    for (size_t i = 0; i < seen_count; i++) {
        const MapName *name = &graph->names[seen[i]];
        if (refers(graph, name, source))
            source->references[source->reference_count++] =
                (MapReference){seen[i], name->weight * sqrt((double)counts[seen[i]])};
        counts[seen[i]] = 0;
    }
    arena_free(&scratch);
}

bool map_read(Workspace *ws, const MapOptions *options, MapGraph *graph, Err *err) {
    if (!read_texts(ws, options, graph, err))
        return false;
    Crew symbols = {.options = options, .graph = graph, .work = read_symbols};
    if (!run_crew(&symbols, err))
        return false;
    make_table(graph);
    Crew references = {.options = options, .graph = graph, .work = read_references};
    return run_crew(&references, err);
}

void map_graph_free(MapGraph *graph) {
    for (size_t i = 0; i < MAP_THREADS; i++)
        arena_free(&graph->of_thread[i]);
    arena_free(&graph->arena);
}
