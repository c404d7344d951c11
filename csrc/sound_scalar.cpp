// The specification of the sound kernels: the vector of fft.h and sound_lanes.h as eight floats, in plain C++.

#include <cmath>
#include <cstring>

#include "sound_lanes.h"

namespace edge_agent {
namespace {

struct Floats {
    float lane[kLanes];
};

std::int32_t bits_of(float x) {
    std::int32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

float float_of(std::int32_t bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

// A vector of eight lanes, each by `make(lane)`.
template <class Make>
Floats each(Make make) {
    Floats out;
    for (std::size_t i = 0; i < kLanes; ++i) {
        out.lane[i] = make(i);
    }
    return out;
}

struct Plain {
    using Reg = Floats;
    static Reg load(const float* at) {
        return each([=](std::size_t i) { return at[i]; });
    }
    static void store(float* at, const Reg& x) { std::memcpy(at, x.lane, sizeof x.lane); }
    static Reg broadcast(const float* at) { return set(*at); }
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
    static Reg sqrt(const Reg& a) {
        return each([&](std::size_t i) { return std::sqrt(a.lane[i]); });
    }

    // Lanes 0, 2, 4 ... and 1, 3, 5 ... of a, then b; the order is V's own business as long as columns undoes it.
    static Reg evens(const Reg& a, const Reg& b) {
        return each([&](std::size_t i) { return i < 4 ? a.lane[2 * i] : b.lane[2 * i - 8]; });
    }
    static Reg odds(const Reg& a, const Reg& b) {
        return each([&](std::size_t i) { return i < 4 ? a.lane[2 * i + 1] : b.lane[2 * i - 7]; });
    }
    // The columns of eight rows of eight floats that are 2 kLanes apart.
    static void columns(const float* rows, Reg* out) {
        for (std::size_t column = 0; column < kLanes; ++column) {
            out[column] = each([=](std::size_t row) { return rows[row * 2 * kLanes + column]; });
        }
    }

    static Reg reversed(const Reg& a) {
        return each([&](std::size_t i) { return a.lane[kLanes - 1 - i]; });
    }
    static Reg first(const Reg& a) {
        return each([&](std::size_t i) { return i == 0 ? a.lane[0] : 0.0F; });
    }
    static float sum(const Reg& a) {
        const float* x = a.lane;
        return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
    }

    // x = mantissa * 2^exponent with the mantissa in [2/3, 4/3); 0x3f2aaaab are the bits of 2/3.
    static void log_parts(const Reg& x, Reg* mantissa, Reg* exponent) {
        *exponent = each([&](std::size_t i) { return static_cast<float>((bits_of(x.lane[i]) - 0x3f2aaaab) >> 23); });
        *mantissa = each(
            [&](std::size_t i) { return float_of(((bits_of(x.lane[i]) - 0x3f2aaaab) & 0x007fffff) + 0x3f2aaaab); });
    }

    static Reg from_int16(const std::int16_t* at) {
        return each([=](std::size_t i) { return static_cast<float>(at[i]); });
    }

    // Neighbours of which one is below zero and the other is not.
    static std::int32_t crossings(const float* samples, std::size_t window) {
        std::int32_t count = 0;
        for (std::size_t n = 1; n < window; ++n) {
            count += (samples[n - 1] < 0.0F) != (samples[n] < 0.0F) ? 1 : 0;
        }
        return count;
    }

    // Without its sign, a float has the order of its bits; NaN comes last.
    struct Largest {
        std::int32_t lane[kLanes];
    };
    static Largest nothing() { return {}; }
    static Largest larger(Largest largest, const float* at) {
        for (std::size_t i = 0; i < kLanes; ++i) {
            const std::int32_t bits = bits_of(at[i]) & 0x7fffffff;
            largest.lane[i] = bits > largest.lane[i] ? bits : largest.lane[i];
        }
        return largest;
    }
    static bool above(const Largest& largest, float limit) {
        bool any = false;
        for (const std::int32_t bits : largest.lane) {
            any = any || bits > bits_of(limit);
        }
        return any;
    }
};

}  // namespace

const SoundKernels* sound_scalar() { return &sound_kernels<Plain>; }

}  // namespace edge_agent
