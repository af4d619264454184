// What a pass returns is verified before the next pass reads it, in release builds too.
#pragma once

namespace flashtp {

/// The program of any level, passed on. Throws InternalError, with the program, where it breaks a rule of its level.
template <class Program>
Program verified(Program program) {
    verify(program);
    return program;
}

}  // namespace flashtp
