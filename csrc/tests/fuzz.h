// What the parts of the differential fuzzer share: random numbers that replay, memory of exact size, and mismatches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels.h"

namespace edge_agent {

// A difference between two instruction sets; what() says in which case.
struct Mismatch : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Random numbers (SplitMix64) that depend on nothing but the seed: a case replays on every machine and compiler.
class Random {
  public:
    explicit Random(std::uint64_t seed) : state_(seed) {}

    std::uint64_t next() {
        std::uint64_t x = state_ += 0x9e3779b97f4a7c15U;
        x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9U;
        x = (x ^ x >> 27) * 0x94d049bb133111ebU;
        return x ^ x >> 31;
    }
    std::size_t between(std::size_t low, std::size_t high) { return low + next() % (high - low + 1); }
    bool one_in(std::size_t n) { return next() % n == 0; }
    std::uint8_t byte() { return static_cast<std::uint8_t>(next()); }
    double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }  // [0, 1)
    template <class T, std::size_t N>
    T pick(const T (&values)[N]) {
        return values[next() % N];
    }
    // A size from 1 to `most`, small ones as likely as large ones.
    std::size_t size(std::size_t most) { return between(1, between(1, one_in(2) ? (most + 15) / 16 : most)); }

  private:
    std::uint64_t state_;
};

// `count` values in an allocation that ends with the last one and starts `offset` bytes before the first: any
// alignment, and AddressSanitizer sees a read beyond the end.
template <class T>
class Exact {
  public:
    Exact(std::size_t count, std::size_t offset) : bytes_(new std::uint8_t[offset + count * sizeof(T)]) {
        data_ = reinterpret_cast<T*>(bytes_.get() + offset);
    }
    T* data() const { return data_; }

  private:
    std::unique_ptr<std::uint8_t[]> bytes_;
    T* data_;
};

// Room for `count` results between bytes that nobody may touch.
template <class T>
class Guarded {
  public:
    explicit Guarded(std::size_t count) : count_(count), bytes_(count * sizeof(T) + 2 * kGuard, kMark) {}

    T* data() { return reinterpret_cast<T*>(bytes_.data() + kGuard); }
    std::size_t count() const { return count_; }

    // Throws Mismatch where a byte around the results has changed.
    void check(const std::string& what) const {
        for (std::size_t i = 0; i < kGuard; ++i) {
            if (bytes_[i] != kMark || bytes_[bytes_.size() - 1 - i] != kMark) {
                throw Mismatch(what + ": written outside the result");
            }
        }
    }
    bool same_bits(const Guarded& other) const { return bytes_ == other.bytes_; }

  private:
    static constexpr std::size_t kGuard = 64;
    static constexpr std::uint8_t kMark = 0xa5;
    std::size_t count_;
    std::vector<std::uint8_t> bytes_;
};

// Throws Mismatch unless both results are the same bits and nothing around them was touched.
template <class T>
void expect_same(const Guarded<T>& wanted, const Guarded<T>& got, const std::string& what) {
    wanted.check(what);
    got.check(what);
    if (!got.same_bits(wanted)) {
        throw Mismatch(what);
    }
}

inline void expect(bool good, const std::string& what) {
    if (!good) {
        throw Mismatch(what);
    }
}

// One random case of each subject: `kernels` against the scalar ones. Throws Mismatch.
void fuzz_vision(const KernelTable& kernels, Random& random);
void fuzz_sound(const KernelTable& kernels, Random& random);
void fuzz_tensor(const KernelTable& kernels, Random& random);
void fuzz_logits(const KernelTable& kernels, Random& random);
void fuzz_projection(const KernelTable& kernels, Random& random);  // called by fuzz_tensor

// The intake of frames, which has no kernels: against what it is documented to take.
void fuzz_intake(Random& random);

// Tables with one deliberate fault each, to see that the fuzzer finds it.
std::vector<const KernelTable*> faulty_kernels();

}  // namespace edge_agent
