# Helpers that the per-directory lists share.

# Sets `result` to all .cpp files below the current directory, except those below the given subdirectories.
# The list follows the disk: the build looks again before every run.
function(flashtp_glob_sources result)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  foreach(excluded IN LISTS ARGN)
    list(FILTER sources EXCLUDE REGEX "^${CMAKE_CURRENT_SOURCE_DIR}/${excluded}/")
  endforeach()
  set(${result} ${sources} PARENT_SCOPE)
endfunction()

# A static library of the .cpp files below the current directory, for use inside this project only.
function(flashtp_add_internal_library name)
  flashtp_glob_sources(sources ${ARGN})
  if(NOT sources)
    # A directory without sources still configures.
    set(sources ${PROJECT_BINARY_DIR}/empty.cpp)
    file(CONFIGURE OUTPUT ${sources} CONTENT "")
  endif()
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
endfunction()

# Precompiles headers for a target. Only third-party and standard headers belong here.
function(flashtp_precompile target)
  if(FLASHTP_PCH)
    target_precompile_headers(${target} PRIVATE ${ARGN})
  endif()
endfunction()

# Compiles a text file into `target` as `std::string_view function()`, declared in the header `declared_in`.
function(flashtp_embed_text target file function declared_in)
  get_filename_component(name ${file} NAME)
  string(MAKE_C_IDENTIFIER ${name} stem)
  set(input ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  set(output ${CMAKE_CURRENT_BINARY_DIR}/embedded/${stem}.cpp)
  set(script ${PROJECT_SOURCE_DIR}/cmake/EmbedText.cmake)
  add_custom_command(
    OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -D INPUT=${input} -D OUTPUT=${output} -D FUNCTION=${function} -D HEADER=${declared_in}
            -P ${script}
    DEPENDS ${input} ${script}
    COMMENT "Embedding ${file}"
    VERBATIM)
  target_sources(${target} PRIVATE ${output})
  set_source_files_properties(${output} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
endfunction()

# Only `flashtp_*` leaves a shared library: neither our C++ symbols nor those of libraries linked into it.
function(flashtp_export_c_symbols_only target)
  set(script ${PROJECT_SOURCE_DIR}/cmake/exported_symbols.map)
  target_link_options(${target} PRIVATE -Wl,--version-script=${script} -Wl,--no-undefined -Wl,--as-needed
                      -Wl,--gc-sections)
  set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${script})
endfunction()
