// Reads the heads of frames byte by byte: any alignment, any byte order.

#include "frames.h"

#include <array>
#include <cstring>

namespace edge_agent {
namespace {

constexpr std::uint8_t kMagic[4] = {'E', 'A', 'P', '1'};
constexpr std::uint8_t kTensorChunk = 0x12;
constexpr std::uint32_t kPolynomial = 0xedb88320U;  // of CRC-32, its bits reversed

template <class T>
T little(const std::uint8_t* from) {
    T value = 0;
    for (std::size_t i = sizeof(T); i > 0; --i) {
        value = static_cast<T>(value << 8U | from[i - 1]);
    }
    return value;
}

constexpr std::array<std::uint32_t, 256> remainders() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t rest = byte;
        for (int bit = 0; bit < 8; ++bit) {
            rest = rest >> 1U ^ ((rest & 1U) != 0 ? kPolynomial : 0U);
        }
        table[byte] = rest;
    }
    return table;
}

}  // namespace

bool read_chunk(const std::uint8_t* data, std::size_t size, Chunk* chunk) {
    if (size <= kFrameHead || std::memcmp(data, kMagic, sizeof kMagic) != 0 || data[4] != kTensorChunk ||
        little<std::uint32_t>(data + 24) != 0 || little<std::uint32_t>(data + 28) != size - kFrameHead) {
        return false;
    }
    chunk->session = little<std::uint64_t>(data + 8);
    chunk->stream = little<std::uint32_t>(data + 16);
    chunk->seq = little<std::uint32_t>(data + 20);
    chunk->checksum = little<std::uint32_t>(data + kCheckedHead);
    chunk->payload = data + kFrameHead;
    chunk->size = size - kFrameHead;
    return true;
}

std::uint32_t head_checksum(const std::uint8_t* head) {
    static constexpr std::array<std::uint32_t, 256> kRemainders = remainders();
    std::uint32_t rest = ~0U;
    for (std::size_t i = 0; i < kCheckedHead; ++i) {
        rest = rest >> 8U ^ kRemainders[(rest ^ head[i]) & 0xffU];
    }
    return ~rest;
}

}  // namespace edge_agent
