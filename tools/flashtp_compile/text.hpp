// Numbers and tables for people.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace flashtp::tools {

/// 12,345,678
std::string grouped(std::int64_t);
/// Three significant digits with a prefix: "1.50 GB", "312 M"; steps of 1000.
std::string scaled(double value, const std::string& unit);
/// "12.3 us", "1.45 ms", "2.10 s"
std::string duration(double seconds);

/// Columns as wide as their widest cell; numbers to the right.
class Table {
  public:
    explicit Table(std::vector<std::string> heads) : rows_{std::move(heads)} {}
    void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
    std::string text() const;

  private:
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace flashtp::tools
