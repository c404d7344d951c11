// The specification of the sound kernels: plain C++, one STFT frame at a time.

#include <cmath>
#include <cstring>

#include "fft.h"
#include "sound_kernels.h"

namespace edge_agent {
namespace {

// A vector of one lane.
struct One {
    using Reg = float;
    static constexpr std::size_t lanes = 1;
    static Reg load(const float* at) { return *at; }
    static void store(float* at, Reg x) { *at = x; }
    static Reg broadcast(const float* at) { return *at; }
    static Reg set(float x) { return x; }
    static Reg add(Reg a, Reg b) { return a + b; }
    static Reg sub(Reg a, Reg b) { return a - b; }
    static Reg mul(Reg a, Reg b) { return a * b; }
    static Reg div(Reg a, Reg b) { return a / b; }
    static Reg max(Reg a, Reg b) { return a > b ? a : b; }
    static Reg sqrt(Reg a) { return std::sqrt(a); }
    static Reg sign_change(Reg a, Reg b) { return (a < 0.0F) != (b < 0.0F) ? 1.0F : 0.0F; }
    static Reg shift_in(Reg, const float* first) { return *first; }
    static void load_transposed(const float* const* rows, Reg* out) { *out = *rows[0]; }

    // x = mantissa * 2^exponent with the mantissa in [sqrt(1/2), sqrt(2)); 0x3f3504f3 are the bits of sqrt(1/2).
    static void log_parts(Reg x, Reg* mantissa, Reg* exponent) {
        std::int32_t bits;
        std::memcpy(&bits, &x, sizeof bits);
        bits -= 0x3f3504f3;
        *exponent = static_cast<float>(bits >> 23);
        bits = (bits & 0x007fffff) + 0x3f3504f3;
        std::memcpy(mantissa, &bits, sizeof bits);
    }
};

constexpr SoundKernels kKernels{One::lanes, sound_frames_lanes<One>};

}  // namespace

const SoundKernels* sound_scalar() { return &kKernels; }

}  // namespace edge_agent
