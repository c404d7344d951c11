// The specification of the sound kernels: the vector of fft.h and sound_lanes.h as eight floats, in plain C++.

#include <cmath>
#include <cstring>

#include "sound_lanes.h"

namespace edge_agent {
namespace {

struct Plain : PlainLanes {
    static void store(float* at, const Reg& x) { std::memcpy(at, x.lane, sizeof x.lane); }
    static Reg broadcast(const float* at) { return set(*at); }
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
