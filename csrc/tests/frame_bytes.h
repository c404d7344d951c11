// Frames as the native tests and the fuzzer write them, by another way than csrc/frames.cpp reads them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace edge_agent {

// CRC-32 as zlib's, bit by bit, as its definition says; goes on from `before`.
inline std::uint32_t plain_checksum(std::uint32_t before, const std::uint8_t* data, std::size_t size) {
    std::uint32_t rest = ~before;
    for (std::size_t i = 0; i < size; ++i) {
        rest ^= data[i];
        for (int bit = 0; bit < 8; ++bit) {
            rest = rest >> 1U ^ ((rest & 1U) != 0 ? 0xedb88320U : 0U);
        }
    }
    return ~rest;
}

inline void put_little(std::uint8_t* to, std::uint64_t value, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) {
        to[i] = static_cast<std::uint8_t>(value >> 8 * i);
    }
}

// Writes the checksum that belongs to a frame of `size` > 36 bytes.
inline void seal(std::uint8_t* frame, std::size_t size) {
    put_little(frame + 32, plain_checksum(plain_checksum(0, frame, 32), frame + 36, size - 36), 4);
}

// A right TENSOR_CHUNK.
inline std::vector<std::uint8_t> chunk_frame(std::uint64_t session, std::uint32_t stream, std::uint32_t seq,
                                             const std::vector<std::uint8_t>& payload) {
    std::vector<std::uint8_t> frame(36, 0);
    const std::uint8_t start[] = {'E', 'A', 'P', '1', 0x12, 0, 1, 0};
    for (std::size_t i = 0; i < sizeof start; ++i) {
        frame[i] = start[i];
    }
    put_little(&frame[8], session, 8);
    put_little(&frame[16], stream, 4);
    put_little(&frame[20], seq, 4);
    put_little(&frame[28], payload.size(), 4);
    frame.insert(frame.end(), payload.begin(), payload.end());
    seal(frame.data(), frame.size());
    return frame;
}

}  // namespace edge_agent
