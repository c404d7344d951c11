// Softmax's sums over logits, eight a vector, for any vector type.
//
// Every logits_*.cpp of an instruction set includes this and instantiates it with its own vector type `V` in an
// anonymous namespace, so that code compiled for one instruction set never ends up in another file's path. No fused
// multiply-add is used: with -ffp-contract=off each lane then does the same IEEE operations everywhere.
//
// V has Reg, eight float lanes, and: load, set, add, sub, mul, max (its second operand where one is NaN), sum ((0+4) +
// (2+6)) + ((1+5) + (3+7)), largest (of the lanes), times_power (of two, by the low bits of another), and found (the
// first lane that equals, kLanes for none).
#pragma once

#include "lanes.h"
#include "logits_kernels.h"

namespace edge_agent {

// Eight logits from `at` on, of which there are `left`; the others are -infinity.
template <class V>
inline typename V::Reg load_rest(const float* at, std::size_t left) {
    float rest[kLanes];
    for (std::size_t i = 0; i < kLanes; ++i) {
        rest[i] = i < left ? at[i] : -__builtin_inff();
    }
    return V::load(rest);
}

template <class V>
struct PartialSums {
    using Reg = typename V::Reg;
    Reg total = V::set(0.0F);
    Reg weighted = V::set(0.0F);

    // Takes in eight logits. 2^y = 2^n 2^f with n the integer next to y: adding 1.5 * 2^23 leaves n in the low bits.
    // The polynomial is 1 at 0 and has a relative error below 1e-7 (minimax, found by reweighted least squares).
    void add(Reg logits, Reg peak, Reg scale) {
        const Reg magic = V::set(12582912.0F);
        const Reg y = V::max(V::set(-125.0F), V::mul(V::sub(logits, peak), scale));
        const Reg shifted = V::add(y, magic);
        const Reg f = V::sub(y, V::sub(shifted, magic));
        Reg power = V::add(V::mul(V::set(0.0013264727F), f), V::set(0.009671513F));
        power = V::add(V::mul(power, f), V::set(0.055507336F));
        power = V::add(V::mul(power, f), V::set(0.24022242F));
        power = V::add(V::mul(power, f), V::set(0.693147F));
        power = V::times_power(V::add(V::mul(power, f), V::set(1.0F)), shifted);
        total = V::add(total, power);
        weighted = V::add(weighted, V::mul(power, y));
    }
};

template <class V>
float logits_peak(const float* logits, std::size_t count) {
    auto first = V::set(-__builtin_inff());
    auto second = first;
    std::size_t i = 0;
    for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
        first = V::max(first, V::load(logits + i));
        second = V::max(second, V::load(logits + i + kLanes));
    }
    for (; i < count; i += kLanes) {
        first = V::max(first, load_rest<V>(logits + i, count - i));
    }
    return V::largest(V::max(first, second));
}

template <class V>
void logits_sums(const float* logits, std::size_t count, float peak, float scale, LogitSums* sums) {
    const auto peaks = V::set(peak);
    const auto scales = V::set(scale);
    PartialSums<V> first;
    PartialSums<V> second;
    std::size_t i = 0;
    for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
        first.add(V::load(logits + i), peaks, scales);
        second.add(V::load(logits + i + kLanes), peaks, scales);
    }
    for (; i < count; i += kLanes) {
        first.add(load_rest<V>(logits + i, count - i), peaks, scales);
    }
    sums->total = V::sum(V::add(first.total, second.total));
    sums->weighted = V::sum(V::add(first.weighted, second.weighted));
}

template <class V>
std::size_t logits_find(const float* logits, std::size_t count, float peak) {
    std::size_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
        const std::size_t lane = V::found(V::load(logits + i), peak);
        if (lane < kLanes) {
            return i + lane;
        }
    }
    for (; i < count && logits[i] != peak; ++i) {
    }
    return i;
}

template <class V>
const LogitsKernels& logits_kernels() {
    static constexpr LogitsKernels table{logits_peak<V>, logits_sums<V>, logits_find<V>};
    return table;
}

}  // namespace edge_agent
