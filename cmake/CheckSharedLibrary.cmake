# cmake -D LIBRARY=libflashtp.so -D READELF=readelf -D NM=nm -P CheckSharedLibrary.cmake
# The library loads where neither CUDA nor LLVM is installed, and exports nothing but its C API.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND ${READELF} --dynamic --wide ${LIBRARY} OUTPUT_VARIABLE dynamic COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "\\(NEEDED\\)[^\n]*" needed "${dynamic}")
foreach(entry IN LISTS needed)
  if(entry MATCHES "cuda|nvrtc|nvidia|cudart|LLVM")
    message(FATAL_ERROR "${LIBRARY} must load this at run time instead of needing it: ${entry}")
  endif()
endforeach()

execute_process(COMMAND ${NM} --dynamic --defined-only --format=posix ${LIBRARY} OUTPUT_VARIABLE symbols
                COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]+" symbols "${symbols}")
foreach(symbol IN LISTS symbols)
  if(NOT symbol MATCHES "^flashtp_")
    message(FATAL_ERROR "${LIBRARY} exports a symbol that is no part of the C API: ${symbol}")
  endif()
endforeach()
