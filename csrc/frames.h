// The head of an EAP/1 frame that brings a piece of a tensor, as docs/protocol.md lays it out.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edge_agent {

constexpr std::size_t kFrameHead = 36;
constexpr std::size_t kCheckedHead = 32;  // of it: what the checksum covers; the checksum follows

struct Chunk {
    std::uint64_t session = 0;
    std::uint32_t stream = 0;
    std::uint32_t seq = 0;
    std::uint32_t checksum = 0;
    const std::uint8_t* payload = nullptr;  // within the frame
    std::size_t size = 0;                   // at least 1
};

// Reads the `size` bytes at `data`. False, with nothing written, unless they are one whole TENSOR_CHUNK without meta,
// whose lengths are those of the message. The checksum is only read.
bool read_chunk(const std::uint8_t* data, std::size_t size, Chunk* chunk);

// CRC-32 as zlib's of the head's first 32 bytes: too few to be worth a call of a library.
std::uint32_t head_checksum(const std::uint8_t* head);

}  // namespace edge_agent
