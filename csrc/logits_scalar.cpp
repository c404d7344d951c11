// The specification of the logits' kernels: the vector of logits_lanes.h as eight floats, in plain C++.

#include <cstdint>
#include <cstring>

#include "logits_lanes.h"

namespace edge_agent {
namespace {

struct Floats {
    float lane[kLogitLanes];
};

// A vector of eight lanes, each by `make(lane)`.
template <class Make>
Floats each(Make make) {
    Floats out;
    for (std::size_t i = 0; i < kLogitLanes; ++i) {
        out.lane[i] = make(i);
    }
    return out;
}

std::uint32_t bits_of(float x) {
    std::uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

float float_of(std::uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

struct Plain {
    using Reg = Floats;
    static Reg load(const float* at) {
        return each([=](std::size_t i) { return at[i]; });
    }
    static Reg set(float x) {
        return each([=](std::size_t) { return x; });
    }
    static Reg add(const Reg& a, const Reg& b) {
        return each([&](std::size_t i) { return a.lane[i] + b.lane[i]; });
    }
    static Reg sub(const Reg& a, const Reg& b) {
        return each([&](std::size_t i) { return a.lane[i] - b.lane[i]; });
    }
    static Reg mul(const Reg& a, const Reg& b) {
        return each([&](std::size_t i) { return a.lane[i] * b.lane[i]; });
    }
    static Reg max(const Reg& a, const Reg& b) {
        return each([&](std::size_t i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
    }
    static float sum(const Reg& a) {
        const float* x = a.lane;
        return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
    }
    static float largest(const Reg& a) {
        float most = a.lane[0];
        for (const float x : a.lane) {
            most = x > most ? x : most;
        }
        return most;
    }
    // x 2^n, where n is what the low nine bits of `by` say: added to the exponent.
    static Reg times_power(const Reg& x, const Reg& by) {
        return each([&](std::size_t i) { return float_of(bits_of(x.lane[i]) + (bits_of(by.lane[i]) << 23)); });
    }
    static std::size_t found(const Reg& a, float x) {
        std::size_t i = 0;
        while (i < kLogitLanes && a.lane[i] != x) {
            ++i;
        }
        return i;
    }
};

}  // namespace

const LogitsKernels* logits_scalar() { return &logits_kernels<Plain>(); }

}  // namespace edge_agent
