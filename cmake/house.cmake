# One static library per room, linking exactly its neighbours (docs/ARCHITECTURE.md, "Who may include whom").
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

add_library(mux_flags INTERFACE)
target_compile_options(mux_flags INTERFACE -Wall -Wextra -Wshadow -Wundef -Wvla -Wpointer-arith -Wwrite-strings
  -fno-common -fno-strict-aliasing -ffp-contract=off
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes> $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>)
target_include_directories(mux_flags INTERFACE ${CMAKE_SOURCE_DIR})
if(MUX_WERROR)
  target_compile_options(mux_flags INTERFACE -Werror)
endif()
if(MUX_SANITIZE)
  string(REPLACE "fuzzer-no-link," "" link_sanitizers "${MUX_SANITIZE}")
  target_compile_options(mux_flags INTERFACE -fsanitize=${MUX_SANITIZE} -fno-omit-frame-pointer -g)
  target_link_options(mux_flags INTERFACE -fsanitize=${link_sanitizers})
  if(MUX_SANITIZE MATCHES "undefined")
    target_compile_options(mux_flags INTERFACE -fno-sanitize-recover=undefined)
  endif()
endif()

# mux_room(NAME [neighbour libraries...]): every .c below the folder, fuzz and test files live elsewhere; cuda/ is
# a library of its own, which each program chooses (cmake/cuda.cmake).
function(mux_room name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  list(FILTER sources EXCLUDE REGEX "/(main\\.c|cuda/[^/]*\\.c)$")
  if(sources)
    add_library(mux_${name} STATIC ${sources})
    target_link_libraries(mux_${name} PUBLIC mux_flags ${ARGN})
  else()
    add_library(mux_${name} INTERFACE)
    target_link_libraries(mux_${name} INTERFACE mux_flags ${ARGN})
  endif()
endfunction()

# mux_tests(ROOM [libraries...]): tests/unit/ROOM_*.c plus the runner as the program tests-ROOM.
# tests/unit/ROOM_suites.c holds the list of suites.
function(mux_tests room)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/unit/${room}_*.c)
  if(sources)
    add_executable(tests-${room} ${CMAKE_SOURCE_DIR}/tests/runner.c ${sources})
    target_link_libraries(tests-${room} PRIVATE ${ARGN} mux_base)
    target_compile_definitions(tests-${room} PRIVATE MUX_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
      MUX_BINARY_DIR="${CMAKE_BINARY_DIR}")
    set_property(GLOBAL APPEND PROPERTY MUX_TEST_PROGRAMS tests-${room})
  endif()
endfunction()

# mux_fuzz(NAME [libraries...]): tests/fuzz/NAME.c. With MUX_FUZZ it is a libFuzzer program; always also a replay
# program fuzz-NAME-replay that runs every file of tests/fuzz/corpus/NAME as a plain test.
function(mux_fuzz name)
  if(NOT EXISTS ${CMAKE_SOURCE_DIR}/tests/fuzz/${name}.c)
    return()
  endif()
  add_executable(fuzz-${name}-replay ${CMAKE_SOURCE_DIR}/tests/fuzz/${name}.c ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.c)
  target_link_libraries(fuzz-${name}-replay PRIVATE ${ARGN} mux_base)
  set_property(GLOBAL APPEND PROPERTY MUX_FUZZ_REPLAYS ${name})
  if(MUX_FUZZ)
    add_executable(fuzz-${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/${name}.c)
    target_link_libraries(fuzz-${name} PRIVATE ${ARGN} mux_base)
    target_link_options(fuzz-${name} PRIVATE -fsanitize=fuzzer,address,undefined)
  endif()
endfunction()

# mux_bench(NAME [libraries...]): tests/bench/NAME.c as the program bench-NAME, run by ./dev bench. Not part of "all".
function(mux_bench name)
  if(NOT EXISTS ${CMAKE_SOURCE_DIR}/tests/bench/${name}.c)
    return()
  endif()
  add_executable(bench-${name} EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/tests/bench/${name}.c)
  target_link_libraries(bench-${name} PRIVATE ${ARGN} mux_base)
  target_compile_definitions(bench-${name} PRIVATE MUX_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  set_property(GLOBAL APPEND PROPERTY MUX_BENCH_PROGRAMS bench-${name})
endfunction()
