#include "codegen/source_writer.hpp"

namespace flashtp {

void SourceWriter::line(std::string_view text) {
    if (!text.empty()) {
        text_.append(static_cast<std::size_t>(depth_) * 4, ' ');
        text_ += text;
    }
    text_ += '\n';
}

void SourceWriter::open(std::string_view text) {
    line(std::string(text) + (text.empty() ? "{" : " {"));
    ++depth_;
}

void SourceWriter::close(std::string_view after) {
    --depth_;
    line("}" + std::string(after));
}

// Names in comments come from the user: a control character or a backslash at the end of a line must not reach the compiler.
static std::string comment_line(std::string_view text) {
    std::string result(text);
    for (char& c : result)
        if (static_cast<unsigned char>(c) < ' ' || c == '\\' || c == '\x7f') c = '?';
    return result.empty() ? "//" : "// " + result;
}

void SourceWriter::comment(std::string_view text) {
    while (true) {
        const std::size_t end = text.find('\n');
        line(comment_line(text.substr(0, end)));
        if (end == std::string_view::npos) return;
        text.remove_prefix(end + 1);
    }
}

void SourceWriter::verbatim(std::string_view text) {
    text_ += text;
    if (!text.empty() && text.back() != '\n') text_ += '\n';
}

}  // namespace flashtp
