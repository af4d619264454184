// Sanitizer settings that hold however a program is started. Linked into the tests and flashtp-compile; does nothing
// in builds without sanitizers.
#if defined(__SANITIZE_ADDRESS__)

#define FLASHTP_SANITIZER_HOOK extern "C" __attribute__((visibility("default"), used)) const char*

FLASHTP_SANITIZER_HOOK __asan_default_options() { return "detect_stack_use_after_return=1"; }
FLASHTP_SANITIZER_HOOK __ubsan_default_options() { return "print_stacktrace=1"; }
// Libraries that are not ours and keep memory until the process ends.
FLASHTP_SANITIZER_HOOK __lsan_default_suppressions() { return "leak:libnvrtc\nleak:libcuda\n"; }

#endif
