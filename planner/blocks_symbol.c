/* The definitions that a name means: "f", "Class.method", "Class::method". */
#include "planner/blocks_take.h"

static Str last_part(Str name, Str *outer) {
    size_t dot = str_rfind_char(name, '.'), colon = str_rfind_char(name, ':');
    size_t cut = dot == STR_NONE || (colon != STR_NONE && colon > dot) ? colon : dot;
    *outer = S("");
    if (cut == STR_NONE)
        return name;
    *outer = str_slice(name, 0, cut && name.ptr[cut] == ':' && name.ptr[cut - 1] == ':' ? cut - 1 : cut);
    return str_from(name, cut + 1);
}

/* The definition that symbol i stands in; the count for none. */
static size_t parent_of(const SymbolList *list, size_t i) {
    for (size_t p = i; p-- > 0;)
        if (list->items[p].depth + 1 == list->items[i].depth &&
            list->items[p].first_line <= list->items[i].first_line &&
            list->items[p].last_line >= list->items[i].last_line)
            return p;
    return list->count;
}

/* "void A::f() {" and "func (a *A) f() {": the outer name is said where the definition stands. */
static bool is_qualified(Str text, const Symbol *symbol, Str outer) {
    Str before = str_slice(text, 0, symbol->name_begin);
    size_t line = str_rfind_char(before, '\n');
    before = str_trim_end(line == STR_NONE ? before : str_from(before, line + 1));
    if (str_ends(before, S("::")))
        return str_ends(str_slice(before, 0, before.len - 2), outer);
    return str_starts(before, S("func (")) && str_ends(before, S(")")) &&
           str_ends(str_slice(before, 0, before.len - 1), outer);
}

static bool is_meant(Str text, const SymbolList *list, size_t i, Str name) {
    Str outer, last = last_part(name, &outer);
    if (!str_eq(list->items[i].name, last))
        return false;
    size_t parent = parent_of(list, i);
    return outer.len == 0 || is_qualified(text, &list->items[i], outer) ||
           (parent < list->count && is_meant(text, list, parent, outer));
}

static TextRange line_range(Str text, size_t first, size_t last) {
    TextRange range = {text.len, text.len};
    size_t begin = 0;
    for (size_t line = 0; begin < text.len && line <= last; line++) {
        if (line == first)
            range.begin = begin;
        size_t end = str_find_char(text, '\n', begin);
        begin = end == STR_NONE ? text.len : end + 1;
        range.end = begin;
    }
    return range;
}

size_t take_find_symbol(void *ctx, Str text, Str name, TextRange *out, size_t most) {
    const FileWork *file = ctx;
    Arena scratch = {0};
    SymbolList list = {0};
    size_t count = 0;
    bool ok = syntax_symbols(file->language, text, &scratch, &list, NULL);
    for (size_t i = 0; ok && i < list.count; i++) {
        const Symbol *symbol = &list.items[i];
        if (symbol->is_declaration || symbol->kind == SYMBOL_FIELD || !is_meant(text, &list, i, name))
            continue;
        if (count < most)
            out[count] = line_range(text, symbol->first_line, symbol->last_line);
        count++;
    }
    arena_free(&scratch);
    return count;
}
