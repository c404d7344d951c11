// Integers as symbols of an entropy coder with stored tables, and the low bits that are written as they are.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "range_coder.h"

namespace edge_agent {

constexpr std::size_t kSymbols = 32;     // 0, 1, -1, 2, -2, ... 15, -15, and the escape
constexpr std::size_t kMagnitudes = 16;  // those of symbols
constexpr std::size_t kEscape = 31;
constexpr unsigned kMostShift = 8;
constexpr std::int32_t kMostInteger = 32767;
constexpr std::int32_t kWrongInteger = kMostInteger + 1;

// How likely the symbols of some coefficients are. Of a value, `shift` low bits are written as they are, the others as
// a symbol. centroids[m]: what a value of magnitude m stands for, in steps, where shift is 0.
struct ProjectionTable {
    unsigned shift;
    std::uint32_t starts[kSymbols + 1];
    float centroids[kMagnitudes];
};

// Whether its frequencies are 32 of at least 1 that sum to 8192, and its numbers those of a table.
inline bool is_table(const ProjectionTable& table) {
    bool good = table.shift <= kMostShift && table.starts[0] == 0 && table.starts[kSymbols] == kFrequencySum;
    for (std::size_t i = 0; i < kSymbols; ++i) {
        good = good && table.starts[i] < table.starts[i + 1];
    }
    for (const float centroid : table.centroids) {
        good = good && std::fabs(centroid) <= 1e6F;
    }
    return good;
}

inline bool fits(std::int32_t value) { return value >= -kMostInteger && value <= kMostInteger; }

inline std::size_t symbol_of(std::int32_t value) {
    const std::int32_t magnitude = value < 0 ? -value : value;
    return magnitude >= static_cast<std::int32_t>(kMagnitudes)
               ? kEscape
               : static_cast<std::size_t>(2 * magnitude - (value > 0 ? 1 : 0));
}

inline std::int32_t value_of(std::size_t symbol) {
    const auto magnitude = static_cast<std::int32_t>((symbol + 1) / 2);
    return symbol % 2 == 1 ? magnitude : -magnitude;
}

// `value` / 2^shift towards minus infinity.
inline std::int32_t high_part(std::int32_t value, unsigned shift) {
    const std::int32_t unit = std::int32_t{1} << shift;
    return value >= 0 ? value / unit : -((unit - 1 - value) / unit);
}

inline void write(RangeWriter* writer, const ProjectionTable& table, std::int32_t value) {
    const std::int32_t high = high_part(value, table.shift);
    const std::size_t symbol = symbol_of(high);
    if (table.shift > 0) {  // backwards: what is read last is written first
        writer->put_bits(static_cast<std::uint32_t>(value - high * (std::int32_t{1} << table.shift)), table.shift);
    }
    if (symbol == kEscape) {
        const auto raw = static_cast<std::uint32_t>(high + 32768);
        writer->put_bits(raw & 255U, 8);
        writer->put_bits(raw >> 8, 8);
    }
    writer->put(table.starts[symbol], table.starts[symbol + 1] - table.starts[symbol]);
}

// kWrongInteger for an escape where a symbol would do.
inline std::int32_t read(RangeReader* reader, const ProjectionTable& table) {
    const std::uint32_t slot = reader->peek();
    std::size_t symbol = 0;
    while (slot >= table.starts[symbol + 1]) {
        ++symbol;
    }
    reader->take(table.starts[symbol], table.starts[symbol + 1] - table.starts[symbol]);
    std::int32_t high = value_of(symbol);
    if (symbol == kEscape) {
        const std::uint32_t upper = reader->take_bits(8);
        high = static_cast<std::int32_t>(upper << 8 | reader->take_bits(8)) - 32768;
        if (symbol_of(high) != kEscape) {
            return kWrongInteger;
        }
    }
    if (table.shift == 0) {
        return high;
    }
    return high * (std::int32_t{1} << table.shift) + static_cast<std::int32_t>(reader->take_bits(table.shift));
}

// Integers to bytes, where the caller names the table of each.
class SymbolCoder {
  public:
    // Throws std::invalid_argument where a table is none.
    explicit SymbolCoder(std::vector<ProjectionTable> tables);

    // `count` integers of -kMostInteger..kMostInteger, and the number of the table of each; else throws.
    std::vector<std::uint8_t> pack(std::size_t count, const std::int32_t* values, const std::uint16_t* kinds) const;

    // And back. Reads `size` bytes and never beyond. Throws unless they are exactly what `pack` makes of some integers.
    void unpack(std::size_t count, const std::uint8_t* data, std::size_t size, const std::uint16_t* kinds,
                std::int32_t* out) const;

  private:
    void check(std::size_t count, const std::uint16_t* kinds) const;

    std::vector<ProjectionTable> tables_;
};

}  // namespace edge_agent
