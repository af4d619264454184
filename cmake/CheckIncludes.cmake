# cmake -D SOURCE=repository -P CheckIncludes.cmake
# Fails when a file includes from a directory that its own may not see. The link order is
# ir <- compiler, ir <- codegen, both <- runtime <- tools, tests, examples.
cmake_minimum_required(VERSION 3.25)
set(may_see_ir ir)
set(may_see_compiler ir compiler)
set(may_see_codegen ir codegen)
set(may_see_runtime ir compiler codegen runtime flashtp)
set(may_see_tools ir compiler codegen runtime tools flashtp)

# Only runtime touches NVRTC, the driver, LLVM and the disk; only the plug-in sees LLVM.
set(system_headers "llvm/|llvm-c/|cuda|nvrtc|dlfcn\\.h|fstream|filesystem")
set(forbidden_ir ${system_headers})
set(forbidden_compiler ${system_headers})
set(forbidden_codegen ${system_headers})
set(forbidden_runtime "llvm/|llvm-c/|cuda\\.h|cuda_runtime|nvrtc\\.h")
set(forbidden_tools ${forbidden_runtime})

set(violations "")

function(check_project_include directory file included)
  if(NOT included MATCHES "^([^/]+)/")
    return() # a neighbour in the same directory
  endif()
  if(NOT CMAKE_MATCH_1 IN_LIST may_see_${directory})
    set(violations ${violations} "${file}: ${directory} may not include ${included}" PARENT_SCOPE)
  endif()
endfunction()

function(check_system_include directory file included)
  if(file MATCHES "^runtime/llvm/")
    return()
  endif()
  if(included MATCHES "^(${forbidden_${directory}})")
    set(violations ${violations} "${file}: ${directory} may not include <${included}>" PARENT_SCOPE)
  endif()
endfunction()

function(check_directory directory)
  file(GLOB_RECURSE files RELATIVE "${SOURCE}" "${SOURCE}/${directory}/*.cpp" "${SOURCE}/${directory}/*.hpp"
       "${SOURCE}/${directory}/*.h")
  foreach(file IN LISTS files)
    file(STRINGS "${SOURCE}/${file}" includes REGEX "^[ \t]*#[ \t]*include")
    foreach(line IN LISTS includes)
      if(line MATCHES "include[ \t]*\"([^\"]+)\"")
        check_project_include(${directory} ${file} ${CMAKE_MATCH_1})
      elseif(line MATCHES "include[ \t]*<([^>]+)>")
        check_system_include(${directory} ${file} ${CMAKE_MATCH_1})
      endif()
    endforeach()
  endforeach()
  set(violations ${violations} PARENT_SCOPE)
endfunction()

foreach(directory ir compiler codegen runtime tools)
  check_directory(${directory})
endforeach()
if(violations)
  list(JOIN violations "\n  " text)
  message(FATAL_ERROR "The link order is broken:\n  ${text}")
endif()
