// Identifiers for generated code: valid, unique in their scope, never a word of the language or of the prelude.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

namespace flashtp {

class Names {
  public:
    Names();
    /// The wanted name where it is a free identifier; otherwise the nearest to it that is.
    std::string unique(std::string_view wanted);

  private:
    std::set<std::string, std::less<>> taken_;
    std::map<std::string, int, std::less<>> last_number_;
};

bool is_identifier(std::string_view);

}  // namespace flashtp
