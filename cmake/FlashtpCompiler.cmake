# Compiler settings that hold for every target of the project.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 99)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/archive)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

# Multiply-adds must not be contracted behind our back: the oracle and printed text are the same on every machine.
add_compile_options(-ffp-contract=off)

add_compile_options(-Wall -Wextra -Wshadow)
add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor> $<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual>)
add_compile_options(-Wno-missing-field-initializers) # designated initialisers leave the other fields at their defaults
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Known false positives of GCC 12 and 13 in the standard library's own headers (GCC bugs 105651, 105329, 107138).
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict> -Wno-array-bounds -Wno-stringop-overflow)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-stringop-overread> -Wno-maybe-uninitialized)
endif()
if(FLASHTP_WERROR)
  add_compile_options(-Werror)
endif()

if(FLASHTP_SANITIZE)
  add_compile_options(-fsanitize=${FLASHTP_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${FLASHTP_SANITIZE})
endif()

# ccache keeps object files across clones and build folders. Precompiled headers need its two sloppiness settings, and
# GCC's -fpch-preprocess so that the preprocessed text names the precompiled header.
find_program(FLASHTP_CCACHE ccache)
if(FLASHTP_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} ${FLASHTP_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND FLASHTP_PCH)
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
  endif()
endif()
