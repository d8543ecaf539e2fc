# The CUDA backend is not part of this build yet; configure says what it sees of a toolkit and goes on.
if(MUX_CUDA STREQUAL "OFF")
  message(STATUS "CUDA: off")
else()
  find_package(CUDAToolkit QUIET)
  if(CUDAToolkit_FOUND)
    message(STATUS "CUDA: toolkit ${CUDAToolkit_VERSION_MAJOR}.${CUDAToolkit_VERSION_MINOR} found; "
      "the CUDA backend is not part of this build")
  else()
    message(STATUS "CUDA: toolkit not found; the CUDA backend is not part of this build")
  endif()
endif()
