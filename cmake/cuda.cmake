# The CUDA backend comes as one of three: made by nvcc, absent (no nvcc, or MUX_CUDA=OFF), or emulated, which is what
# the tests link. Here: which toolkit, for which GPUs; kernels/cuda/CMakeLists.txt makes the libraries of it.
#   MUX_NVCC           the compiler; empty = the backend is absent
#   MUX_CUDA_TOOLKIT   its folder
#   MUX_CUDA_GENCODE   the flags that name the GPUs
#   MUX_CUDA_LIST      the same as a list: 80 86 90a ...
set(MUX_NVCC "")
if(NOT MUX_CUDA STREQUAL "OFF")
  find_program(MUX_NVCC_FOUND nvcc HINTS $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin /usr/local/cuda/bin)
  if(MUX_NVCC_FOUND)
    get_filename_component(program ${MUX_NVCC_FOUND} REALPATH)
    get_filename_component(MUX_CUDA_TOOLKIT ${program}/../.. ABSOLUTE)
    find_file(MUX_CUDART libcudart_static.a NO_DEFAULT_PATH PATHS ${MUX_CUDA_TOOLKIT}/lib64
      ${MUX_CUDA_TOOLKIT}/targets/x86_64-linux/lib ${MUX_CUDA_TOOLKIT}/targets/sbsa-linux/lib
      /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE})
    execute_process(COMMAND ${program} --version OUTPUT_VARIABLE version ERROR_QUIET)
    string(REGEX MATCH "release ([0-9]+\\.[0-9]+)" version "${version}")
    set(version "${CMAKE_MATCH_1}")
    if(NOT MUX_CUDART)
      set(problem "${MUX_CUDA_TOOLKIT} has nvcc but no libcudart_static.a")
    elseif(version VERSION_LESS 12.0)
      set(problem "nvcc ${version} is too old, 12.0 is needed")
    else()
      set(MUX_NVCC ${program})
    endif()
  else()
    set(problem "no nvcc in PATH, \$CUDA_HOME or /usr/local/cuda")
  endif()
endif()

if(MUX_NVCC)
  set(MUX_CUDA_LIST ${MUX_CUDA_ARCHS})
  if(MUX_CUDA_LIST STREQUAL "native")
    execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader
      OUTPUT_VARIABLE found ERROR_QUIET RESULT_VARIABLE failed OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(failed OR NOT found MATCHES "^[0-9]")
      message(FATAL_ERROR "MUX_CUDA_ARCHS=native: nvidia-smi names no GPU on this machine.")
    endif()
    string(REPLACE "\n" ";" MUX_CUDA_LIST "${found}")
    list(TRANSFORM MUX_CUDA_LIST REPLACE "[. ]" "")
    list(TRANSFORM MUX_CUDA_LIST REPLACE "^90$" "90a")
    list(REMOVE_DUPLICATES MUX_CUDA_LIST)
  endif()
  # What this nvcc cannot build for is left out; PTX of 9.0 serves every GPU that came later.
  execute_process(COMMAND ${MUX_NVCC} --list-gpu-code OUTPUT_VARIABLE known ERROR_QUIET)
  set(left_out "")
  foreach(arch ${MUX_CUDA_LIST})
    string(REGEX REPLACE "[a-z]" "" number ${arch})
    if(NOT known MATCHES "sm_${number}\n")
      list(APPEND left_out ${arch})
    endif()
  endforeach()
  if(left_out)
    list(REMOVE_ITEM MUX_CUDA_LIST ${left_out})
    message(STATUS "CUDA: nvcc ${version} cannot build for ${left_out}")
  endif()
  # Two intermediate forms serve all: 8.0 for the GPUs of 8.x, 9.0 for what is newer, which also stays in the program
  # for GPUs that are not named. Only kernels of *_hopper.cu have what 9.0a alone can do.
  set(older "")
  set(newer "")
  if(NOT MUX_CUDA_ARCHS STREQUAL "native")
    list(APPEND newer compute_90)
  endif()
  foreach(arch ${MUX_CUDA_LIST})
    string(REGEX REPLACE "[a-z]" "" number ${arch})
    if(number LESS 90)
      list(APPEND older sm_${number})
    else()
      list(APPEND newer sm_${number})
    endif()
  endforeach()
  set(MUX_CUDA_GENCODE "")
  foreach(pair "80:${older}" "90:${newer}")
    string(REGEX MATCH "^([0-9]+):(.+)$" found "${pair}")
    if(found)
      string(REPLACE ";" "," codes "${CMAKE_MATCH_2}")
      list(APPEND MUX_CUDA_GENCODE -gencode "arch=compute_${CMAKE_MATCH_1},code=[${codes}]")
    endif()
  endforeach()
  string(REPLACE ";" " " text "${MUX_CUDA_LIST}")
  message(STATUS "CUDA: nvcc ${version} (${MUX_NVCC}) for ${text}")
elseif(MUX_CUDA STREQUAL "OFF")
  message(STATUS "CUDA: off")
elseif(MUX_CUDA STREQUAL "ON")
  message(FATAL_ERROR "MUX_CUDA=ON: ${problem}.")
else()
  message(STATUS "CUDA: absent (${problem})")
endif()

# mux_nvcc(OUT FILES...): compiles .cu files for all GPUs, those named *_hopper.cu for 9.0a alone where that is one of
# them; OUT receives the objects. cuda-report tells what came out.
function(mux_nvcc out)
  set(flags -std=c++17 -O3 -I${CMAKE_SOURCE_DIR} -Xptxas -v --threads 2
    -Xcompiler -O2,-fno-exceptions,-fno-rtti,-fno-threadsafe-statics)
  if(MUX_WERROR)
    list(APPEND flags -Werror all-warnings)
  endif()
  set(objects "")
  foreach(file ${ARGN})
    get_filename_component(name ${file} NAME_WE)
    set(object ${CMAKE_BINARY_DIR}/cuda/${name}.o)
    set(gencode ${MUX_CUDA_GENCODE})
    if(name MATCHES "_hopper$" AND "90a" IN_LIST MUX_CUDA_LIST)
      set(gencode -gencode arch=compute_90a,code=sm_90a)
    endif()
    add_custom_command(OUTPUT ${object} DEPFILE ${object}.d
      COMMAND ${CMAKE_SOURCE_DIR}/cmake/nvcc.sh ${object}
        ${MUX_NVCC} ${flags} ${gencode} -MD -MF ${object}.d -c ${file} -o ${object}
      DEPENDS ${file} COMMENT "nvcc ${name}.cu" VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/cuda)
  set(${out} ${objects} PARENT_SCOPE)
endfunction()

# The fibers of the emulator are one thread, and a thread sanitizer that is told of each takes minutes for a token: code
# that runs on them is kept from it, the host side of the backend is not.
set(MUX_UNWATCHED -fno-sanitize=thread)

# mux_emulated(TARGET FILES...): adds .cu files to a target as C++ for tests/emulator. Every memory access of a kernel
# is checked by way of the calls that the compiler makes for a thread sanitizer; a build with a sanitizer of its own
# has that one look instead. The files' properties hold in the calling folder, which must be the target's.
function(mux_emulated target)
  set(flags -fno-exceptions -fno-rtti -fno-threadsafe-statics -Wno-unknown-pragmas -Wno-extra
    -Wno-parentheses)
  if(NOT MUX_SANITIZE)
    list(APPEND flags -O1 -g -fsanitize=thread)
  else()
    list(APPEND flags -DMUX_EMULATOR_UNCHECKED -fno-sanitize=enum) # types come from C, where any number may stand
  endif()
  if(MUX_SANITIZE MATCHES "thread")
    list(APPEND flags ${MUX_UNWATCHED})
  endif()
  set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "${flags}")
  target_sources(${target} PRIVATE ${ARGN})
endfunction()

# The tests of the kernels: tests-cuda with the emulated GPU; with nvcc also tests-cuda-gpu and tests-engine-gpu, the
# same tests on the real one, which nothing but the GPU list runs.
function(mux_cuda_tests)
  set(unit ${CMAKE_SOURCE_DIR}/tests/unit)
  mux_tests(cuda mux_kernels mux_cuda_emulated)
  target_sources(tests-cuda PRIVATE ${unit}/kernels_support.c)
  file(GLOB planted CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/emulator/*.cu)
  if(planted)
    mux_emulated(tests-cuda ${planted})
  endif()
  if(NOT MUX_NVCC)
    return()
  endif()
  foreach(room cuda engine)
    file(GLOB sources CONFIGURE_DEPENDS ${unit}/${room}_*.c)
    list(FILTER sources EXCLUDE REGEX "/cuda_emulator[^/]*$")
    add_executable(tests-${room}-gpu EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/tests/runner.c ${sources})
    target_compile_definitions(tests-${room}-gpu PRIVATE MUX_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
      MUX_BINARY_DIR="${CMAKE_BINARY_DIR}")
  endforeach()
  target_sources(tests-cuda-gpu PRIVATE ${unit}/kernels_support.c)
  target_link_libraries(tests-cuda-gpu PRIVATE mux_kernels mux_cuda mux_base)
  target_link_libraries(tests-engine-gpu PRIVATE mux_engine mux_cuda mux_base)
endfunction()
