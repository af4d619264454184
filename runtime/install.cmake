# What a user of the library installs: header, libraries, CMake package, pkg-config file.
include(CMakePackageConfigHelpers)

install(TARGETS flashtp EXPORT flashtpTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET flashtp_llvm)
  install(TARGETS flashtp_llvm LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(DIRECTORY include/flashtp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/flashtp)
install(EXPORT flashtpTargets NAMESPACE flashtp:: DESTINATION ${package_dir})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/flashtpConfig.cmake.in
                              ${CMAKE_CURRENT_BINARY_DIR}/flashtpConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/flashtpConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/flashtpConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/flashtpConfigVersion.cmake
        DESTINATION ${package_dir})

# The pkg-config file finds its prefix from its own place, so that an installed tree can be moved.
file(RELATIVE_PATH FLASHTP_PREFIX_FROM_PC ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(${PROJECT_SOURCE_DIR}/cmake/flashtp.pc.in ${CMAKE_CURRENT_BINARY_DIR}/flashtp.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/flashtp.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
