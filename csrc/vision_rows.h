// How rows are turned into grey and compared, for every instruction set with vectors.
//
// Isa is a type of an unnamed namespace, which keeps what is instantiated here inside its file. It has
//   Bytes, kBytes                            a vector and the columns that it holds, a multiple of 8
//   load, store, splat, zero, grey(bgr)      one of them from memory, to memory, of one level, of zeros, of kBytes
//   pixels Sums, no_sums()                          sums of |a - b| of each 4 or 8 columns of a vector differ(a, b,
//   limit, &sums, &unchanged)   adds |a - b| to the sums, and 1 to each byte where it is not above the limit
//   add_to(absolute, sums)                   adds them to those in memory
//   sum_of(bytes)
#pragma once

#include "vision_kernels.h"

namespace edge_agent {

constexpr std::size_t kLine = 64;  // bytes that memory gives at a time

// Asks for what follows, in this row or the next, before it is needed: pictures too large for the near caches are read
// up to twice as fast. A hint to the processor: where nothing lies there, nothing happens.
inline void fetch_ahead(const std::uint8_t* at) { __builtin_prefetch(at + 1024); }

template <class Isa>
void grey_row_of(const std::uint8_t* bgr, std::uint8_t* grey, std::size_t pixels) {
    std::size_t i = 0;
    for (; i + kLine <= pixels; i += kLine) {  // so many pixels are three lines
        for (std::size_t line = 0; line < 3; ++line) {
            fetch_ahead(bgr + 3 * i + line * kLine);
        }
        for (std::size_t x = i; x < i + kLine; x += Isa::kBytes) {
            Isa::store(grey + x, Isa::grey(bgr + 3 * x));
        }
    }
    for (; i + Isa::kBytes <= pixels; i += Isa::kBytes) {
        Isa::store(grey + i, Isa::grey(bgr + 3 * i));
    }
    vision_scalar()->grey_row(bgr + 3 * i, grey + i, pixels - i);
}

template <class Isa>
void grey_difference_row_of(const std::uint8_t* bgr, std::uint8_t* kept, std::size_t width, std::uint8_t threshold,
                            ColumnSums* sums) {
    constexpr std::size_t kBlock = 255 * Isa::kBytes;  // columns until a byte of `unchanged` may be full
    const auto limit = Isa::splat(threshold);
    const std::size_t vectors = width / Isa::kBytes * Isa::kBytes;
    for (std::size_t start = 0; start < vectors; start += kBlock) {
        const std::size_t end = vectors - start < kBlock ? vectors : start + kBlock;
        auto unchanged = Isa::zero();
        for (std::size_t x = start; x < end; x += Isa::kBytes) {
            const auto now = Isa::grey(bgr + 3 * x);
            auto absolute = Isa::no_sums();
            Isa::differ(now, Isa::load(kept + x), limit, &absolute, &unchanged);
            Isa::add_to(sums->absolute + x / 4, absolute);
            Isa::store(kept + x, now);
        }
        sums->changed += end - start - Isa::sum_of(unchanged);
    }
    if (vectors < width) {
        ColumnSums tail{sums->absolute + vectors / 4, 0};
        vision_scalar()->grey_difference_row(bgr + 3 * vectors, kept + vectors, width - vectors, threshold, &tail);
        sums->changed += tail.changed;
    }
}

template <class Isa>
void compare_vector(const std::uint8_t* a, const std::uint8_t* b, typename Isa::Bytes limit,
                    typename Isa::Bytes* unchanged, std::uint32_t* sums) {
    auto absolute = Isa::no_sums();
    Isa::differ(Isa::load(a), Isa::load(b), limit, &absolute, unchanged);
    Isa::add_to(sums, absolute);
}

// A line of the cache at a time, as pixels are asked for by lines.
template <class Isa>
void compare_row(const std::uint8_t* a, const std::uint8_t* b, std::size_t vectors, typename Isa::Bytes limit,
                 ColumnSums* sums) {
    constexpr std::size_t kLine = 64;
    constexpr std::size_t kBlock = 192 * Isa::kBytes;  // columns, whole lines, until a byte of `unchanged` may be full
    std::uint32_t* const absolute = sums->absolute;
    for (std::size_t start = 0; start < vectors; start += kBlock) {
        const std::size_t end = vectors - start < kBlock ? vectors : start + kBlock;
        auto unchanged = Isa::zero();
        std::size_t x = start;
        for (; x + kLine <= end; x += kLine) {
            fetch_ahead(a + x);
            fetch_ahead(b + x);
            for (std::size_t at = x; at < x + kLine; at += Isa::kBytes) {
                compare_vector<Isa>(a + at, b + at, limit, &unchanged, absolute + at / 4);
            }
        }
        for (; x < end; x += Isa::kBytes) {
            compare_vector<Isa>(a + x, b + x, limit, &unchanged, absolute + x / 4);
        }
        sums->changed += end - start - Isa::sum_of(unchanged);
    }
}

template <class Isa>
void difference_rows_of(const std::uint8_t* a, std::ptrdiff_t a_stride, const std::uint8_t* b, std::ptrdiff_t b_stride,
                        std::size_t width, std::size_t height, std::uint8_t threshold, ColumnSums* sums) {
    const auto limit = Isa::splat(threshold);
    const std::size_t vectors = width / Isa::kBytes * Isa::kBytes;
    if (vectors < width) {
        ColumnSums tail{sums->absolute + vectors / 4, 0};
        vision_scalar()->difference_rows(a + vectors, a_stride, b + vectors, b_stride, width - vectors, height,
                                         threshold, &tail);
        sums->changed += tail.changed;
    }
    for (; height > 0; --height, a += a_stride, b += b_stride) {
        compare_row<Isa>(a, b, vectors, limit, sums);
    }
}

}  // namespace edge_agent
