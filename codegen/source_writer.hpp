// Text with indentation and scopes.
#pragma once

#include <string>
#include <string_view>

namespace flashtp {

class SourceWriter {
  public:
    /// One line at the current depth; an empty one is not indented.
    void line(std::string_view text = {});
    /// `text {` and one level deeper, until close().
    void open(std::string_view text);
    void close(std::string_view after = {});
    /// Line comments; every line of the text becomes one, and nothing in it can end the comment.
    void comment(std::string_view text);
    /// Text that is already formatted.
    void verbatim(std::string_view text);

    std::string take() { return std::move(text_); }

  private:
    std::string text_;
    int depth_ = 0;
};

}  // namespace flashtp
