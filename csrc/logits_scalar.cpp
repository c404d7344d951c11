// The specification of the logits' kernels: the vector of logits_lanes.h as eight floats, in plain C++.

#include <cstdint>

#include "logits_lanes.h"

namespace edge_agent {
namespace {

struct Plain : PlainLanes {
    static float largest(const Reg& a) {
        float most = a.lane[0];
        for (const float x : a.lane) {
            most = x > most ? x : most;
        }
        return most;
    }
    // x 2^n, where n is what the low nine bits of `by` say: added to the exponent.
    static Reg times_power(const Reg& x, const Reg& by) {
        return each([&](std::size_t i) {
            const auto power = static_cast<std::uint32_t>(bits_of(by.lane[i])) << 23;
            return float_of(static_cast<std::int32_t>(static_cast<std::uint32_t>(bits_of(x.lane[i])) + power));
        });
    }
    static std::size_t found(const Reg& a, float x) {
        std::size_t i = 0;
        while (i < kLanes && a.lane[i] != x) {
            ++i;
        }
        return i;
    }
};

}  // namespace

const LogitsKernels* logits_scalar() { return &logits_kernels<Plain>(); }

}  // namespace edge_agent
