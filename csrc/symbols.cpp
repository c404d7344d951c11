// Integers to bytes, where the caller names the table of each.

#include "symbols.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace edge_agent {

SymbolCoder::SymbolCoder(std::vector<ProjectionTable> tables) : tables_(std::move(tables)) {
    if (tables_.empty() || !std::all_of(tables_.begin(), tables_.end(), is_table)) {
        throw std::invalid_argument("no tables, or one whose frequencies are not 32 of at least 1 that sum to 8192");
    }
}

void SymbolCoder::check(std::size_t count, const std::uint16_t* kinds) const {
    if (!std::all_of(kinds, kinds + count, [this](std::uint16_t kind) { return kind < tables_.size(); })) {
        throw std::invalid_argument("a value names a table that there is not");
    }
}

std::vector<std::uint8_t> SymbolCoder::pack(std::size_t count, const std::int32_t* values,
                                            const std::uint16_t* kinds) const {
    check(count, kinds);
    if (!std::all_of(values, values + count, fits)) {
        throw std::invalid_argument("a value is outside -32767..32767");
    }
    RangeWriter writer;
    for (std::size_t i = count; i-- > 0;) {
        write(&writer, tables_[kinds[i]], values[i]);
    }
    return writer.finish();
}

void SymbolCoder::unpack(std::size_t count, const std::uint8_t* data, std::size_t size, const std::uint16_t* kinds,
                         std::int32_t* out) const {
    check(count, kinds);
    RangeReader reader(data, size);
    for (std::size_t i = 0; i < count && !reader.broken(); ++i) {
        out[i] = read(&reader, tables_[kinds[i]]);
        if (!fits(out[i])) {
            throw std::invalid_argument("the bytes hold a value outside -32767..32767");
        }
    }
    if (!reader.ended()) {
        throw std::invalid_argument("the bytes are not what these tables write");
    }
}

}  // namespace edge_agent
