# mux_grammars: the generated tree-sitter parsers that `./dev setup` puts into grammars/node_modules (versions and
# hashes in grammars/package-lock.json), one static library. Third-party code: no warnings, no sanitizers.
pkg_check_modules(TREE_SITTER REQUIRED IMPORTED_TARGET tree-sitter)

set(grammar_root ${CMAKE_SOURCE_DIR}/grammars/node_modules)
set(grammar_folders tree-sitter-c tree-sitter-cpp tree-sitter-python tree-sitter-javascript
  tree-sitter-typescript/typescript tree-sitter-typescript/tsx tree-sitter-go tree-sitter-rust tree-sitter-java)
add_library(mux_grammars STATIC)
foreach(folder ${grammar_folders})
  set(source ${grammar_root}/${folder}/src)
  if(NOT EXISTS ${source}/parser.c)
    message(FATAL_ERROR "grammars/node_modules/${folder} is missing: run ./dev setup, which fetches the tree-sitter "
      "grammars with npm.")
  endif()
  foreach(file parser.c scanner.c)
    if(EXISTS ${source}/${file})
      target_sources(mux_grammars PRIVATE ${source}/${file})
      # Each parser brings its own tree_sitter/parser.h.
      set_source_files_properties(${source}/${file} PROPERTIES COMPILE_OPTIONS "-I${source}")
    endif()
  endforeach()
endforeach()
target_compile_options(mux_grammars PRIVATE -w -O1)
target_link_libraries(mux_grammars PUBLIC PkgConfig::TREE_SITTER)
