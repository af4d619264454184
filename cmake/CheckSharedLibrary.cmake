# cmake -D LIBRARY=libflashtp.so -D EXPORTED=exported_symbols.txt -D READELF=readelf -D NM=nm -P CheckSharedLibrary.cmake
# The library loads where neither CUDA nor LLVM is installed, and exports its C API and nothing else.
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
list(TRANSFORM symbols REPLACE " .*" "")
list(SORT symbols)
# A symbol that leaves the list breaks programs that were built before; one that joins it stays for ever.
file(STRINGS ${EXPORTED} exported)
list(SORT exported)
if(NOT symbols STREQUAL exported)
  message(FATAL_ERROR "${LIBRARY} exports\n${symbols}\nand ${EXPORTED} lists\n${exported}")
endif()
