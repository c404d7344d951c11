// Complex FFT of one frame of real samples, eight points a vector, for any vector type.
//
// The frame's `points` = window / 2 complex numbers, even samples + i odd samples, stand as `rows` rows of eight
// columns: point 8 r + c in row r, column c, one column a lane. With W_n = exp(-2 pi i / n):
//   A[c][k] = sum_r z[8 r + c] W_rows^(r k)                              an FFT down each column, all columns at once
//   Z[k + rows q] = sum_c (W_points^(c k) A[c][k]) W_8^(c q)             an FFT of eight across the columns
//
// Every sound_*.cpp of an instruction set includes this and instantiates it with its own vector type `V` in an
// anonymous namespace, so that code compiled for one instruction set never ends up in another file's path. No fused
// multiply-add is used: with -ffp-contract=off each lane then does the same IEEE operations everywhere.
//
// V has Reg, eight float lanes, and: load, store, broadcast (of one float in memory), set, add, sub, mul, evens, odds,
// columns. sound_lanes.h says what else it has.
#pragma once

#include "sound_kernels.h"

namespace edge_agent {

// A complex number a lane; in memory eight real parts, then eight imaginary ones.
template <class V>
struct Complex {
    using Reg = typename V::Reg;
    Reg re;
    Reg im;

    static Complex load(const float* at) { return {V::load(at), V::load(at + kLanes)}; }
    static Complex broadcast(const float* at) { return {V::broadcast(at), V::broadcast(at + 1)}; }
    void store(float* at) const {
        V::store(at, re);
        V::store(at + kLanes, im);
    }
    Complex operator+(const Complex& o) const { return {V::add(re, o.re), V::add(im, o.im)}; }
    Complex operator-(const Complex& o) const { return {V::sub(re, o.re), V::sub(im, o.im)}; }
    Complex plus_i(const Complex& o) const { return {V::sub(re, o.im), V::add(im, o.re)}; }   // this + i o
    Complex minus_i(const Complex& o) const { return {V::add(re, o.im), V::sub(im, o.re)}; }  // this - i o
    // Times cos - i sin, which `angle` holds as cos + i sin.
    Complex turned(const Complex& angle) const {
        return {V::add(V::mul(re, angle.re), V::mul(im, angle.im)), V::sub(V::mul(im, angle.re), V::mul(re, angle.im))};
    }
};

// In-place FFT of four.
template <class V>
inline void fft_4(Complex<V>& a, Complex<V>& b, Complex<V>& c, Complex<V>& d) {
    const auto even_sum = a + c;
    const auto even_difference = a - c;
    const auto odd_sum = b + d;
    const auto odd_difference = b - d;
    a = even_sum + odd_sum;
    b = even_difference.minus_i(odd_difference);
    c = even_sum - odd_sum;
    d = even_difference.plus_i(odd_difference);
}

// In-place FFT of eight.
template <class V>
inline void fft_8(Complex<V>* z) {
    fft_4(z[0], z[2], z[4], z[6]);
    fft_4(z[1], z[3], z[5], z[7]);
    const auto root = V::set(0.70710678F);
    const Complex<V> first{V::mul(root, V::add(z[3].re, z[3].im)), V::mul(root, V::sub(z[3].im, z[3].re))};
    const Complex<V> third{V::mul(root, V::sub(z[7].im, z[7].re)), V::mul(root, V::add(z[7].re, z[7].im))};
    const Complex<V> even[4] = {z[0], z[2], z[4], z[6]};
    const auto odd = z[1];
    const auto second = z[5];
    z[0] = even[0] + odd;
    z[4] = even[0] - odd;
    z[1] = even[1] + first;
    z[5] = even[1] - first;
    z[2] = even[2].minus_i(second);
    z[6] = even[2].plus_i(second);
    z[3] = {V::add(even[3].re, third.re), V::sub(even[3].im, third.im)};
    z[7] = {V::sub(even[3].re, third.re), V::add(even[3].im, third.im)};
}

// Windows a frame and does the first pass down the columns: FFTs of `radix` rows each, in digit-reversed order.
template <class V, std::size_t radix>
inline void first_pass(const SoundPlan& plan, const float* samples, float* work) {
    const float* weights = plan.weights;  // local copies: the compiler would read them again after every store
    const std::uint32_t* order = plan.row_order;
    const std::size_t blocks = plan.rows / radix;
    const std::size_t apart = blocks * 2 * kLanes;
    for (std::size_t block = 0; block < blocks; ++block) {
        Complex<V> z[radix];
        std::size_t at = order[block] * std::size_t{2 * kLanes};
        for (std::size_t i = 0; i < radix; ++i, at += apart) {
            const auto low = V::mul(V::load(samples + at), V::load(weights + at));
            const auto high = V::mul(V::load(samples + at + kLanes), V::load(weights + at + kLanes));
            z[i] = {V::evens(low, high), V::odds(low, high)};
        }
        if constexpr (radix == 8) {
            fft_8<V>(z);
        } else if constexpr (radix == 4) {
            fft_4<V>(z[0], z[1], z[2], z[3]);
        } else {
            const auto sum = z[0] + z[1];
            z[1] = z[0] - z[1];
            z[0] = sum;
        }
        for (std::size_t i = 0; i < radix; ++i) {
            z[i].store(work + (block * radix + i) * 2 * kLanes);
        }
    }
}

// The other passes down the columns: FFTs of `done` rows become FFTs of 4 `done` rows.
template <class V>
inline void later_passes(const SoundPlan& plan, float* work) {
    const std::size_t rows = plan.rows;
    const float* angles = plan.row_angles;
    for (std::size_t done = plan.first_radix; done < rows; done *= 4) {
        const std::size_t apart = done * 2 * kLanes;
        for (std::size_t k = 0; k < done; ++k, angles += 6) {
            const auto once = Complex<V>::broadcast(angles);
            const auto twice = Complex<V>::broadcast(angles + 2);
            const auto thrice = Complex<V>::broadcast(angles + 4);
            for (std::size_t row = k; row < rows; row += 4 * done) {
                float* at = work + row * 2 * kLanes;
                auto a = Complex<V>::load(at);
                auto b = Complex<V>::load(at + apart).turned(once);
                auto c = Complex<V>::load(at + 2 * apart).turned(twice);
                auto d = Complex<V>::load(at + 3 * apart).turned(thrice);
                fft_4(a, b, c, d);
                a.store(at);
                b.store(at + apart);
                c.store(at + 2 * apart);
                d.store(at + 3 * apart);
            }
        }
    }
}

// The FFTs across the columns; `re` and `im` [points + kLanes] receive the result in order. With fewer than eight rows
// the lanes that have no row store what the next vector overwrites.
template <class V>
inline void across_columns(const SoundPlan& plan, const float* work, float* re, float* im) {
    const std::size_t rows = plan.rows;
    const float* angles = plan.column_angles;
    for (std::size_t row = 0; row < rows; row += kLanes) {
        typename V::Reg column_re[kLanes];  // one column each, one row a lane
        typename V::Reg column_im[kLanes];
        V::columns(work + row * 2 * kLanes, column_re);
        V::columns(work + row * 2 * kLanes + kLanes, column_im);
        Complex<V> z[kLanes];
        z[0] = {column_re[0], column_im[0]};
        for (std::size_t column = 1; column < kLanes; ++column, angles += 2 * kLanes) {
            z[column] = Complex<V>{column_re[column], column_im[column]}.turned(Complex<V>::load(angles));
        }
        fft_8<V>(z);
        for (std::size_t q = 0; q < kLanes; ++q) {
            V::store(re + row + q * rows, z[q].re);
            V::store(im + row + q * rows, z[q].im);
        }
    }
}

// Z of a frame, in order, with Z[points] = Z[0] after it.
template <class V>
inline void fft_frame(const SoundPlan& plan, const float* samples, float* work, float* re, float* im) {
    if (plan.first_radix == 8) {
        first_pass<V, 8>(plan, samples, work);
    } else if (plan.first_radix == 4) {
        first_pass<V, 4>(plan, samples, work);
    } else {
        first_pass<V, 2>(plan, samples, work);
    }
    later_passes<V>(plan, work);
    across_columns<V>(plan, work, re, im);
    const std::size_t points = plan.window / 2;
    re[points] = re[0];
    im[points] = im[0];
}

}  // namespace edge_agent
