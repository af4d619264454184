# cmake -D INPUT=file -D OUTPUT=file.cpp -D FUNCTION=name -D HEADER=header -P EmbedText.cmake
# Writes a C++ file whose function flashtp::FUNCTION returns the text of INPUT.
cmake_minimum_required(VERSION 3.25)
file(READ "${INPUT}" text)
set(delimiter "FLASHTP_TEXT") # at most 16 characters
string(FIND "${text}" ")${delimiter}\"" clash)
if(NOT clash EQUAL -1)
  message(FATAL_ERROR "${INPUT} holds )${delimiter}\", which ends the string literal it is embedded as")
endif()
file(WRITE "${OUTPUT}" "// Generated from ${INPUT}; do not edit.
#include \"${HEADER}\"

std::string_view flashtp::${FUNCTION}() {
    return R\"${delimiter}(${text})${delimiter}\";
}
")
