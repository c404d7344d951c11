// Compares a frame with what is expected, and puts its payload where it belongs.

#include "intake.h"

#include <cstring>

namespace edge_agent {

void Intake::arm(const Expected& expected, Destination* destination) {
    expected_ = expected;
    destination_ = destination;
}

Taken Intake::settle() {
    const Taken taken = taken_;
    taken_ = {};
    return taken;
}

bool Intake::fits(const std::uint8_t* data, std::size_t size, Chunk* chunk) const {
    const Destination* const into = destination_;
    return into != nullptr && into->to != nullptr && read_chunk(data, size, chunk) &&
           chunk->session == expected_.session && chunk->stream == expected_.stream && chunk->seq == expected_.seq &&
           chunk->size <= expected_.chunk_bytes && chunk->size <= expected_.most_bytes &&
           chunk->size <= into->size - into->filled;
}

void Intake::put(const Chunk& chunk) {
    std::memcpy(destination_->to + destination_->filled, chunk.payload, chunk.size);
    destination_->filled += chunk.size;
    expected_.seq += 1;
    expected_.most_bytes -= chunk.size;
    taken_.frames += 1;
    taken_.bytes += chunk.size;
}

}  // namespace edge_agent
