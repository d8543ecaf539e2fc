/* The repository as the map sees it: files, their definitions, and who holds whose names. */
#ifndef MUX_PLANNER_MAP_INTERNAL_H
#define MUX_PLANNER_MAP_INTERNAL_H

#include "planner/map.h"
#include "workspace/syntax.h"

typedef struct MapDefinition {
    size_t file, name; /* indices */
    size_t line;       /* from 0 */
    Str text;          /* its line */
    double score;
    size_t next;   /* the next definition of the same name, plus 1; 0: none */
    bool is_local; /* no other file can mean it */
} MapDefinition;

typedef struct MapName {
    Str text;
    size_t first;  /* its definition, plus 1 */
    size_t count;  /* of the definitions that other files can mean */
    double weight; /* how telling a reference to it is */
} MapName;

typedef struct MapReference {
    size_t name;
    double weight;
} MapReference;

typedef struct MapSource {
    Str path, text;
    Language language;
    SymbolList symbols;
    MapReference *references; /* to names that this file does not define */
    size_t reference_count;
    double rank, wish; /* wish: share of the attention that starts here */
} MapSource;

enum { MAP_THREADS = 8 };

typedef struct MapGraph {
    Arena arena, of_thread[MAP_THREADS];
    MapSource *sources;
    size_t source_count;
    MapDefinition *definitions;
    size_t definition_count, definition_capacity;
    MapName *names;
    size_t name_count, name_capacity;
    size_t bodied_names; /* the first ones: those with a definition that is no mere declaration */
    size_t *slots;       /* of the hash table: index of a name plus 1 */
    size_t slot_count;
    bool is_truncated;
} MapGraph;

/* Whether a name in one file may mean a definition in another: of one family of languages, and not local. */
bool map_reaches(const MapGraph *graph, const MapSource *from, const MapDefinition *to);

/* map_read.c */
bool map_read(Workspace *ws, const MapOptions *options, MapGraph *graph, Err *err);
void map_graph_free(MapGraph *graph);

#endif
