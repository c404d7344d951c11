// Real FFT and spectral sums of several frames at once, one frame a lane, for any vector type.
//
// Every sound_*.cpp of an instruction set includes this and instantiates it with its own vector type `V` in an
// anonymous namespace, so that code compiled for one instruction set never ends up in another file's path. No fused
// multiply-add is used: with -ffp-contract=off each lane then does the same IEEE operations everywhere.
//
// V has: Reg, lanes, load, store, broadcast (of one float in memory), set, add, sub, mul, div, max, sqrt,
// load_transposed, shift_in, log_parts, sign_change.
#pragma once

#include "sound_kernels.h"

namespace edge_agent {

// Natural logarithm of a positive normal number: x = m 2^e with m in [sqrt(1/2), sqrt(2)), s = (m - 1) / (m + 1),
// ln m = 2 (s + s^3/3 + s^5/5 + s^7/7 + ...). |s| <= 0.172, so what is cut off is below 1e-9.
template <class V>
inline typename V::Reg log_lanes(typename V::Reg x) {
    typename V::Reg mantissa;
    typename V::Reg exponent;
    V::log_parts(x, &mantissa, &exponent);
    const auto one = V::set(1.0F);
    const auto s = V::div(V::sub(mantissa, one), V::add(mantissa, one));
    const auto s2 = V::mul(s, s);
    auto series = V::add(V::mul(s2, V::set(2.0F / 9.0F)), V::set(2.0F / 7.0F));
    series = V::add(V::mul(series, s2), V::set(2.0F / 5.0F));
    series = V::add(V::mul(series, s2), V::set(2.0F / 3.0F));
    series = V::add(V::mul(series, s2), V::set(2.0F));
    return V::add(V::mul(exponent, V::set(0.693147181F)), V::mul(series, s));
}

// A complex number a lane.
template <class V>
struct Complex {
    typename V::Reg re;
    typename V::Reg im;

    static Complex load(const float* at) { return {V::load(at), V::load(at + V::lanes)}; }
    void store(float* at) const {
        V::store(at, re);
        V::store(at + V::lanes, im);
    }
    Complex operator+(const Complex& o) const { return {V::add(re, o.re), V::add(im, o.im)}; }
    Complex operator-(const Complex& o) const { return {V::sub(re, o.re), V::sub(im, o.im)}; }
    // Times cos - i sin, both read from memory.
    Complex turned(const float* cos_sin) const {
        const auto c = V::broadcast(cos_sin);
        const auto s = V::broadcast(cos_sin + 1);
        return {V::add(V::mul(re, c), V::mul(im, s)), V::sub(V::mul(im, c), V::mul(re, s))};
    }
};

// In-place complex FFT of `size` (a power of two >= 4) values in bit-reversed order; work[j] is lanes re, lanes im.
// A first radix-2 pass where log2(size) is odd, then decimation in time by four.
template <class V>
inline void fft_lanes(float* work, std::size_t size, const float* twiddles) {
    constexpr std::size_t step = 2 * V::lanes;
    std::size_t done = 1;
    bool odd = false;
    for (std::size_t s = size; s > 1; s >>= 1) {
        odd = !odd;
    }
    if (odd) {
        for (std::size_t j = 0; j < size; j += 2) {
            const auto a = Complex<V>::load(work + j * step);
            const auto b = Complex<V>::load(work + (j + 1) * step);
            (a + b).store(work + j * step);
            (a - b).store(work + (j + 1) * step);
        }
        done = 2;
    }
    for (; done < size; done *= 4) {
        for (std::size_t k = 0; k < done; ++k) {
            const float* turn = twiddles + 6 * k;
            for (std::size_t j = k; j < size; j += 4 * done) {
                float* at = work + j * step;
                const std::size_t apart = done * step;
                const auto b0 = Complex<V>::load(at);
                const auto b1 = Complex<V>::load(at + apart).turned(turn + 2);  // bit-reversed order: the block
                const auto b2 = Complex<V>::load(at + 2 * apart).turned(turn);  // of odd multiples comes third
                const auto b3 = Complex<V>::load(at + 3 * apart).turned(turn + 4);
                const auto even_sum = b0 + b1;
                const auto even_difference = b0 - b1;
                const auto odd_sum = b2 + b3;
                const auto odd_difference = b2 - b3;
                const Complex<V> quarter{odd_difference.im, V::sub(V::set(0.0F), odd_difference.re)};  // times -i
                (even_sum + odd_sum).store(at);
                (even_difference + quarter).store(at + apart);
                (even_sum - odd_sum).store(at + 2 * apart);
                (even_difference - quarter).store(at + 3 * apart);
            }
        }
        twiddles += 6 * done;
    }
}

// Running sums over the bins of V::lanes frames.
template <class V>
struct BinSums {
    using Reg = typename V::Reg;
    Reg power = V::set(0.0F);
    Reg floored = V::set(0.0F);
    Reg log_floored = V::set(0.0F);
    Reg floored_log = V::set(0.0F);
    Reg flux = V::set(0.0F);

    // Adds another's sums; sums of a few dozen bins, added up in turn, lose less than one long sum.
    void add(const BinSums& other) {
        power = V::add(power, other.power);
        floored = V::add(floored, other.floored);
        log_floored = V::add(log_floored, other.log_floored);
        floored_log = V::add(floored_log, other.floored_log);
        flux = V::add(flux, other.flux);
    }

    void store(SoundSums* sums) const {
        V::store(sums->power, power);
        V::store(sums->floored, floored);
        V::store(sums->log_floored, log_floored);
        V::store(sums->floored_log, floored_log);
        V::store(sums->flux, flux);
    }

    // Takes in one bin with its real and imaginary part. `previous` is the magnitude of this bin in the frame before
    // lane 0; it is replaced by that of lane `last`.
    void add(Reg re, Reg im, float* previous, std::size_t last) {
        const Reg p = V::add(V::mul(re, re), V::mul(im, im));
        const Reg q = V::max(p, V::set(kPowerFloor));
        const Reg log_q = log_lanes<V>(q);
        const Reg magnitude = V::sqrt(p);
        power = V::add(power, p);
        floored = V::add(floored, q);
        log_floored = V::add(log_floored, log_q);
        floored_log = V::add(floored_log, V::mul(q, log_q));
        const Reg before = V::shift_in(magnitude, previous);
        flux = V::add(flux, V::max(V::sub(magnitude, before), V::set(0.0F)));
        alignas(64) float lanes[V::lanes];
        V::store(lanes, magnitude);
        *previous = lanes[last];
    }
};

// Loads, windows and bit-reverses V::lanes frames into `work`; returns energy and zero crossings in `sums`.
template <class V>
inline void load_frames(const SoundPlan& plan, const float* const* frames, float* work, SoundSums* sums) {
    auto energy_even = V::set(0.0F);
    auto energy_odd = V::set(0.0F);
    auto crossings = V::set(0.0F);
    const float* rows[V::lanes];
    for (std::size_t lane = 0; lane < V::lanes; ++lane) {
        rows[lane] = frames[lane];
    }
    constexpr std::size_t block = V::lanes < 2 ? 2 : V::lanes;
    typename V::Reg before{};
    for (std::size_t n = 0; n < plan.window; n += block) {
        typename V::Reg x[block];
        for (std::size_t part = 0; part < block; part += V::lanes) {
            V::load_transposed(rows, x + part);
            for (std::size_t lane = 0; lane < V::lanes; ++lane) {
                rows[lane] += V::lanes;
            }
        }
        if (n == 0) {
            before = x[0];
        }
        for (std::size_t i = 0; i < block; i += 2) {
            crossings = V::add(crossings, V::add(V::sign_change(before, x[i]), V::sign_change(x[i], x[i + 1])));
            before = x[i + 1];
            const auto even = V::mul(x[i], V::broadcast(plan.weights + n + i));
            const auto odd = V::mul(x[i + 1], V::broadcast(plan.weights + n + i + 1));
            energy_even = V::add(energy_even, V::mul(even, even));
            energy_odd = V::add(energy_odd, V::mul(odd, odd));
            float* at = work + std::size_t{plan.bit_reversal[(n + i) / 2]} * 2 * V::lanes;
            V::store(at, even);
            V::store(at + V::lanes, odd);
        }
    }
    V::store(sums->energy, V::add(energy_even, energy_odd));
    V::store(sums->crossings, crossings);
}

// Splits the half-size complex FFT in `work` into the bins of the real one and sums over them.
// With Z the complex FFT, H = N/2, W = exp(-2 pi i / N): X[k] = e + t and X[H-k] = conj(e - t), where
// 2 e = Z[k] + conj Z[H-k] and 2 t = -i W^k (Z[k] - conj Z[H-k]); the 1/2 is already in the weights.
template <class V>
inline void sum_bins(const SoundPlan& plan, const float* work, std::size_t last, float* previous, SoundSums* sums) {
    const std::size_t half = plan.window / 2;
    constexpr std::size_t step = 2 * V::lanes;
    BinSums<V> low;
    BinSums<V> high;
    const auto zero = V::set(0.0F);
    const auto two = V::set(2.0F);
    const auto first = Complex<V>::load(work);
    low.add(V::mul(two, V::add(first.re, first.im)), zero, previous, last);
    high.add(V::mul(two, V::sub(first.re, first.im)), zero, previous + half, last);
    BinSums<V> total;
    for (std::size_t k = 1; k < half / 2; ++k) {
        const auto a = Complex<V>::load(work + k * step);
        const auto b = Complex<V>::load(work + (half - k) * step);
        const Complex<V> e{V::add(a.re, b.re), V::sub(a.im, b.im)};
        const Complex<V> o{V::add(a.im, b.im), V::sub(b.re, a.re)};  // -i (Z[k] - conj Z[H-k])
        const auto t = o.turned(plan.split_twiddles + 2 * k);
        const auto x = e + t;
        const auto y = e - t;
        low.add(x.re, x.im, previous + k, last);
        high.add(y.re, y.im, previous + half - k, last);
        if (k % 64 == 0) {
            low.add(high);
            total.add(low);
            low = BinSums<V>{};
            high = BinSums<V>{};
        }
    }
    const auto middle = Complex<V>::load(work + half / 2 * step);
    low.add(V::mul(two, middle.re), V::mul(two, middle.im), previous + half / 2, last);
    low.add(high);
    total.add(low);
    total.store(sums);
}

// KernelTable::sound_frames for the vector type V. Lanes beyond `count` repeat the last frame.
template <class V>
inline void sound_frames_lanes(const SoundPlan& plan, const float* samples, std::size_t hop, std::size_t count,
                               float* work, float* previous, SoundSums* sums) {
    const float* frames[V::lanes];
    for (std::size_t lane = 0; lane < V::lanes; ++lane) {
        frames[lane] = samples + (lane < count ? lane : count - 1) * hop;
    }
    load_frames<V>(plan, frames, work, sums);
    fft_lanes<V>(work, plan.window / 2, plan.twiddles);
    sum_bins<V>(plan, work, count - 1, previous, sums);
}

}  // namespace edge_agent
