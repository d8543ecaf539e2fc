/* The languages, and one row per node type that defines a name. Node types are those of the grammars'
 * node-types.json. */
#include <string.h>

#include "workspace/syntax_internal.h"

const TSLanguage *tree_sitter_c(void);
const TSLanguage *tree_sitter_cpp(void);
const TSLanguage *tree_sitter_python(void);
const TSLanguage *tree_sitter_javascript(void);
const TSLanguage *tree_sitter_typescript(void);
const TSLanguage *tree_sitter_tsx(void);
const TSLanguage *tree_sitter_go(void);
const TSLanguage *tree_sitter_rust(void);
const TSLanguage *tree_sitter_java(void);

static const struct {
    const char *name;
    const TSLanguage *(*grammar)(void);
    const char *extensions; /* each followed by a blank */
} LANGUAGES[] = {
    [LANGUAGE_NONE] = {"text", NULL, ""},
    [LANGUAGE_C] = {"c", tree_sitter_c, "c h "},
    [LANGUAGE_CPP] = {"cpp", tree_sitter_cpp, "cc cpp cxx c++ hh hpp hxx h++ ipp inl tpp cu cuh "},
    [LANGUAGE_PYTHON] = {"python", tree_sitter_python, "py pyi pyw "},
    [LANGUAGE_JAVASCRIPT] = {"javascript", tree_sitter_javascript, "js mjs cjs jsx "},
    [LANGUAGE_TYPESCRIPT] = {"typescript", tree_sitter_typescript, "ts mts cts "},
    [LANGUAGE_TSX] = {"tsx", tree_sitter_tsx, "tsx "},
    [LANGUAGE_GO] = {"go", tree_sitter_go, "go "},
    [LANGUAGE_RUST] = {"rust", tree_sitter_rust, "rs "},
    [LANGUAGE_JAVA] = {"java", tree_sitter_java, "java "},
};
_Static_assert(sizeof LANGUAGES / sizeof *LANGUAGES == LANGUAGE_COUNT, "one row per language");

Language language_of(Str path) {
    size_t slash = str_rfind_char(path, '/');
    Str name = slash == STR_NONE ? path : str_from(path, slash + 1);
    size_t dot = str_rfind_char(name, '.');
    if (dot == STR_NONE || dot == 0)
        return LANGUAGE_NONE;
    Str extension = str_from(name, dot + 1);
    for (int language = LANGUAGE_NONE + 1; language < LANGUAGE_COUNT; language++)
        for (const char *at = LANGUAGES[language].extensions; *at;) {
            const char *end = strchr(at, ' ');
            if (str_eq_nocase(extension, str_range(at, end)))
                return (Language)language;
            at = end + 1;
        }
    return LANGUAGE_NONE;
}

const char *language_name(Language language) {
    return LANGUAGES[(unsigned)language < LANGUAGE_COUNT ? language : LANGUAGE_NONE].name;
}

const TSLanguage *syntax_grammar(Language language) {
    if ((unsigned)language >= LANGUAGE_COUNT || !LANGUAGES[language].grammar)
        return NULL;
    return LANGUAGES[language].grammar();
}

static bool is_one_of(const char *type, const char *const *types) {
    for (; *types; types++)
        if (strcmp(type, *types) == 0)
            return true;
    return false;
}

bool syntax_is_wrapper(const char *type) {
    static const char *const TYPES[] = {"template_declaration", "decorated_definition", "export_statement",
                                        "ambient_declaration", NULL};
    return is_one_of(type, TYPES);
}

bool syntax_is_function_value(const char *type) {
    static const char *const TYPES[] = {
        "arrow_function", "function_expression", "generator_function", "lambda_expression",
        "lambda",         "func_literal",        "closure_expression", NULL};
    return is_one_of(type, TYPES);
}

#define ON(language) (1u << LANGUAGE_##language)
#define C_FAMILY (ON(C) | ON(CPP))
#define TS_FAMILY (ON(TYPESCRIPT) | ON(TSX))
#define JS_FAMILY (ON(JAVASCRIPT) | TS_FAMILY)

const SyntaxRule SYNTAX_RULES[] = {
    {C_FAMILY, "function_definition", SYMBOL_FUNCTION, "declarator", 0},
    {C_FAMILY, "declaration", SYMBOL_VARIABLE, "declarator", RULE_C_STYLE},
    {C_FAMILY, "field_declaration", SYMBOL_FIELD, "declarator", RULE_C_STYLE},
    {C_FAMILY, "struct_specifier", SYMBOL_TYPE, "name", RULE_WITH_BODY},
    {C_FAMILY, "union_specifier", SYMBOL_TYPE, "name", RULE_WITH_BODY},
    {C_FAMILY, "enum_specifier", SYMBOL_TYPE, "name", RULE_WITH_BODY},
    {C_FAMILY, "enumerator", SYMBOL_VARIABLE, "name", 0},
    {C_FAMILY, "type_definition", SYMBOL_TYPE, "declarator", 0},
    {C_FAMILY, "preproc_def", SYMBOL_MACRO, "name", 0},
    {C_FAMILY, "preproc_function_def", SYMBOL_MACRO, "name", 0},
    {ON(CPP), "class_specifier", SYMBOL_TYPE, "name", RULE_WITH_BODY},
    {ON(CPP), "namespace_definition", SYMBOL_MODULE, "name", 0},
    {ON(CPP), "alias_declaration", SYMBOL_TYPE, "name", 0},
    {ON(CPP), "concept_definition", SYMBOL_TYPE, "name", 0},
    {ON(CPP), "lambda_expression", SYMBOL_FUNCTION, NULL, 0},

    {ON(PYTHON), "function_definition", SYMBOL_FUNCTION, "name", 0},
    {ON(PYTHON), "class_definition", SYMBOL_TYPE, "name", 0},
    {ON(PYTHON), "assignment", SYMBOL_VARIABLE, "left", RULE_SCOPED},
    {ON(PYTHON), "type_alias_statement", SYMBOL_TYPE, "left", 0},

    {JS_FAMILY, "function_declaration", SYMBOL_FUNCTION, "name", 0},
    {JS_FAMILY, "generator_function_declaration", SYMBOL_FUNCTION, "name", 0},
    {JS_FAMILY, "class_declaration", SYMBOL_TYPE, "name", 0},
    {JS_FAMILY, "class", SYMBOL_TYPE, "name", 0},
    {JS_FAMILY, "method_definition", SYMBOL_FUNCTION, "name", 0},
    {JS_FAMILY, "variable_declarator", SYMBOL_VARIABLE, "name", RULE_BY_VALUE},
    {JS_FAMILY, "pair", SYMBOL_VARIABLE, "key", RULE_BY_VALUE | RULE_ONLY_VALUE},
    {JS_FAMILY, "assignment_expression", SYMBOL_VARIABLE, "left",
     RULE_BY_VALUE | RULE_ONLY_VALUE | RULE_MEMBER_NAME},
    {JS_FAMILY, "arrow_function", SYMBOL_FUNCTION, NULL, 0},
    {JS_FAMILY, "function_expression", SYMBOL_FUNCTION, NULL, 0},
    {JS_FAMILY, "generator_function", SYMBOL_FUNCTION, NULL, 0},
    {JS_FAMILY, "class_static_block", SYMBOL_FUNCTION, NULL, 0},
    {ON(JAVASCRIPT), "field_definition", SYMBOL_FIELD, "property", RULE_BY_VALUE},
    {TS_FAMILY, "public_field_definition", SYMBOL_FIELD, "name", RULE_BY_VALUE},
    {TS_FAMILY, "interface_declaration", SYMBOL_TYPE, "name", 0},
    {TS_FAMILY, "type_alias_declaration", SYMBOL_TYPE, "name", 0},
    {TS_FAMILY, "enum_declaration", SYMBOL_TYPE, "name", 0},
    {TS_FAMILY, "abstract_class_declaration", SYMBOL_TYPE, "name", 0},
    {TS_FAMILY, "internal_module", SYMBOL_MODULE, "name", 0},
    {TS_FAMILY, "module", SYMBOL_MODULE, "name", 0},
    {TS_FAMILY, "function_signature", SYMBOL_FUNCTION, "name", RULE_DECLARATION},
    {TS_FAMILY, "method_signature", SYMBOL_FUNCTION, "name", RULE_DECLARATION},
    {TS_FAMILY, "abstract_method_signature", SYMBOL_FUNCTION, "name", RULE_DECLARATION},
    {TS_FAMILY, "property_signature", SYMBOL_FIELD, "name", 0},
    {TS_FAMILY, "enum_body", SYMBOL_VARIABLE, "name", RULE_MANY},
    {TS_FAMILY, "enum_assignment", SYMBOL_VARIABLE, "name", 0},

    {ON(GO), "function_declaration", SYMBOL_FUNCTION, "name", 0},
    {ON(GO), "method_declaration", SYMBOL_FUNCTION, "name", 0},
    {ON(GO), "method_elem", SYMBOL_FUNCTION, "name", RULE_DECLARATION},
    {ON(GO), "type_spec", SYMBOL_TYPE, "name", 0},
    {ON(GO), "type_alias", SYMBOL_TYPE, "name", 0},
    {ON(GO), "const_spec", SYMBOL_VARIABLE, "name", 0},
    {ON(GO), "var_spec", SYMBOL_VARIABLE, "name", 0},
    {ON(GO), "field_declaration", SYMBOL_FIELD, "name", 0},
    {ON(GO), "func_literal", SYMBOL_FUNCTION, NULL, 0},

    {ON(RUST), "function_item", SYMBOL_FUNCTION, "name", 0},
    {ON(RUST), "function_signature_item", SYMBOL_FUNCTION, "name", RULE_DECLARATION},
    {ON(RUST), "struct_item", SYMBOL_TYPE, "name", 0},
    {ON(RUST), "enum_item", SYMBOL_TYPE, "name", 0},
    {ON(RUST), "union_item", SYMBOL_TYPE, "name", 0},
    {ON(RUST), "trait_item", SYMBOL_TYPE, "name", 0},
    {ON(RUST), "type_item", SYMBOL_TYPE, "name", 0},
    {ON(RUST), "associated_type", SYMBOL_TYPE, "name", RULE_DECLARATION},
    {ON(RUST), "const_item", SYMBOL_VARIABLE, "name", 0},
    {ON(RUST), "static_item", SYMBOL_VARIABLE, "name", 0},
    {ON(RUST), "enum_variant", SYMBOL_VARIABLE, "name", 0},
    {ON(RUST), "field_declaration", SYMBOL_FIELD, "name", 0},
    {ON(RUST), "mod_item", SYMBOL_MODULE, "name", 0},
    {ON(RUST), "macro_definition", SYMBOL_MACRO, "name", 0},
    {ON(RUST), "closure_expression", SYMBOL_FUNCTION, NULL, 0},

    {ON(JAVA), "class_declaration", SYMBOL_TYPE, "name", 0},
    {ON(JAVA), "interface_declaration", SYMBOL_TYPE, "name", 0},
    {ON(JAVA), "enum_declaration", SYMBOL_TYPE, "name", 0},
    {ON(JAVA), "record_declaration", SYMBOL_TYPE, "name", 0},
    {ON(JAVA), "annotation_type_declaration", SYMBOL_TYPE, "name", 0},
    {ON(JAVA), "annotation_type_element_declaration", SYMBOL_FUNCTION, "name", RULE_DECLARATION},
    {ON(JAVA), "method_declaration", SYMBOL_FUNCTION, "name", 0},
    {ON(JAVA), "constructor_declaration", SYMBOL_FUNCTION, "name", 0},
    {ON(JAVA), "enum_constant", SYMBOL_VARIABLE, "name", 0},
    {ON(JAVA), "variable_declarator", SYMBOL_VARIABLE, "name", RULE_SCOPED},
    {ON(JAVA), "lambda_expression", SYMBOL_FUNCTION, NULL, 0},
    {ON(JAVA), "static_initializer", SYMBOL_FUNCTION, NULL, 0},
};
const size_t SYNTAX_RULE_COUNT = sizeof SYNTAX_RULES / sizeof *SYNTAX_RULES;
