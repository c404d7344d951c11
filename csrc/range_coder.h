// A static-table entropy coder (rANS, J. Duda 2013, arXiv:1311.2540): symbols of known frequencies in close to their
// information. What is written last is read first; the writer is fed backwards, the reader forwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace edge_agent {

constexpr unsigned kFrequencyBits = 13;
constexpr std::uint32_t kFrequencySum = 1U << kFrequencyBits;

// Between two symbols the state is kStateLow..kStateLow * 256 - 1; whole bytes leave and enter it.
constexpr std::uint32_t kStateLow = 1U << 16;
constexpr std::size_t kStateBytes = 3;

class RangeWriter {
  public:
    // The symbol that has `frequency` of 2^bits, behind those of `start` in all. frequency >= 1, bits <= 13.
    void put(std::uint32_t start, std::uint32_t frequency, unsigned bits = kFrequencyBits) {
        const std::uint32_t most = (kStateLow >> bits << 8) * frequency;
        while (state_ >= most) {
            bytes_.push_back(static_cast<std::uint8_t>(state_));
            state_ >>= 8;
        }
        state_ = (state_ / frequency << bits) + state_ % frequency + start;
    }
    // `value` of `bits` <= 13 bits, each as likely as the other.
    void put_bits(std::uint32_t value, unsigned bits) { put(value, 1, bits); }

    // Everything, in the order in which it is read.
    std::vector<std::uint8_t> finish() {
        for (std::size_t i = 0; i < kStateBytes; ++i) {
            bytes_.push_back(static_cast<std::uint8_t>(state_ >> (8 * i)));
        }
        return {bytes_.rbegin(), bytes_.rend()};
    }

  private:
    std::uint32_t state_ = kStateLow;
    std::vector<std::uint8_t> bytes_;
};

// Reads `size` bytes and never beyond: what is missing counts as 0, and `ended` is false then.
class RangeReader {
  public:
    RangeReader(const std::uint8_t* data, std::size_t size) : at_(data), end_(data + size) {
        for (std::size_t i = 0; i < kStateBytes; ++i) {
            state_ = state_ << 8 | byte();
        }
        broken_ = broken_ || state_ < kStateLow;
    }

    // Where in 0..2^bits - 1 the next symbol lies; `take` must follow.
    std::uint32_t peek(unsigned bits = kFrequencyBits) const { return state_ & ((1U << bits) - 1); }
    void take(std::uint32_t start, std::uint32_t frequency, unsigned bits = kFrequencyBits) {
        state_ = frequency * (state_ >> bits) + peek(bits) - start;
        while (state_ < kStateLow && !broken_) {
            state_ = state_ << 8 | byte();
        }
    }
    std::uint32_t take_bits(unsigned bits) {
        const std::uint32_t value = peek(bits);
        take(value, 1, bits);
        return value;
    }

    bool broken() const { return broken_; }
    // Whether exactly what a writer wrote was read: all bytes, back to the state that it began with.
    bool ended() const { return !broken_ && at_ == end_ && state_ == kStateLow; }

  private:
    std::uint32_t byte() {
        broken_ = broken_ || at_ == end_;
        return at_ == end_ ? 0 : *at_++;
    }

    std::uint32_t state_ = 0;
    bool broken_ = false;
    const std::uint8_t* at_;
    const std::uint8_t* end_;
};

}  // namespace edge_agent
