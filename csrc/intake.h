// Takes the pieces of one tensor, frame by frame, as long as each is the very next one; knows limits, not Python.
#pragma once

#include <cstddef>
#include <cstdint>

#include "frames.h"

namespace edge_agent {

// What is expected: frames of this session and stream, from this number on; at most `most_bytes` of payload together
// and `chunk_bytes` in one.
struct Expected {
    std::uint64_t session = 0;
    std::uint32_t stream = 0;
    std::uint32_t seq = 0;
    std::uint64_t most_bytes = 0;
    std::size_t chunk_bytes = 0;
};

// Where a tensor's bytes are put: `filled` of `size` are there. Whoever takes the memory back sets `to` to nullptr.
struct Destination {
    std::uint8_t* to = nullptr;
    std::size_t size = 0;
    std::size_t filled = 0;
};

// What was taken since it was asked last.
struct Taken {
    std::uint64_t frames = 0;
    std::uint64_t bytes = 0;
};

class Intake {
  public:
    // From now on. `destination` has to live until `disarm`, or the next `arm`.
    void arm(const Expected& expected, Destination* destination);
    void disarm() { destination_ = nullptr; }

    // Takes a whole frame and copies its payload, where it is right in everything; false, with nothing done, for any
    // other. `checksum` goes on from the checksum of the head over the payload; it may let another thread change what
    // is expected, so that it is looked at again behind it.
    template <class Checksum>
    bool take(const std::uint8_t* data, std::size_t size, Checksum checksum) {
        Chunk chunk;
        if (!fits(data, size, &chunk) || checksum(head_checksum(data), chunk.payload, chunk.size) != chunk.checksum ||
            !fits(data, size, &chunk)) {
            return false;
        }
        put(chunk);
        return true;
    }

    // What was taken since the last call of it.
    Taken settle();

  private:
    bool fits(const std::uint8_t* data, std::size_t size, Chunk* chunk) const;
    void put(const Chunk& chunk);

    Expected expected_;
    Destination* destination_ = nullptr;
    Taken taken_;
};

}  // namespace edge_agent
