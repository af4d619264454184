# cmake -D BUILD=build/release -D EXAMPLE=examples/c -P TestInstalled.cmake
# Installs to a scratch prefix, then builds and runs an example project that knows nothing but this prefix.
cmake_minimum_required(VERSION 3.25)
get_filename_component(name ${EXAMPLE} NAME)
set(prefix ${BUILD}/installed/prefix)
set(build ${BUILD}/installed/${name})
file(REMOVE_RECURSE ${build})

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix})
run(${CMAKE_COMMAND} -G Ninja -S ${EXAMPLE} -B ${build} -D CMAKE_PREFIX_PATH=${prefix} -D CMAKE_BUILD_TYPE=Release)
run(${CMAKE_COMMAND} --build ${build})
run(${CMAKE_CTEST_COMMAND} --test-dir ${build} --output-on-failure --no-tests=error)

# The same sources through pkg-config, where it is installed.
find_program(PKG_CONFIG pkg-config)
file(GLOB c_sources ${EXAMPLE}/*.c)
file(GLOB_RECURSE package_file ${prefix}/*/flashtp.pc)
if(PKG_CONFIG AND c_sources)
  get_filename_component(package_dir ${package_file} DIRECTORY)
  set(ENV{PKG_CONFIG_PATH} ${package_dir})
  execute_process(COMMAND ${PKG_CONFIG} --cflags --libs flashtp OUTPUT_VARIABLE flags COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(flags UNIX_COMMAND "${flags}")
  foreach(source IN LISTS c_sources)
    run(cc -std=c99 ${source} -o ${build}/with_pkg_config ${flags} -lm)
  endforeach()
endif()
