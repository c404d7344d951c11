// The kernels of logits: what softmax over a vocabulary says of one token. logits_scalar.cpp is their specification:
// all results are the same bit for bit on every instruction set. See kernels.h for what a kernel may do.
#pragma once

#include <cstddef>

namespace edge_agent {

// Sums over softmax's terms, with y[i] = (logits[i] - peak) * scale, where scale is log2(e) / temperature; a y below
// -125 counts as -125. `weighted` is NaN where a logit is NaN, or where the peak is infinite.
struct LogitSums {
    float total;     // sum of 2^y
    float weighted;  // sum of 2^y y
};

struct LogitsKernels {
    // The largest of `count` > 0 logits. Means nothing where one of them is NaN.
    float (*peak)(const float* logits, std::size_t count);

    void (*sums)(const float* logits, std::size_t count, float peak, float scale, LogitSums* sums);

    // The first i with logits[i] == peak; `count` where there is none.
    std::size_t (*find)(const float* logits, std::size_t count, float peak);
};

// One per file; nullptr where the file was compiled for another architecture.
const LogitsKernels* logits_scalar();
const LogitsKernels* logits_avx2();
const LogitsKernels* logits_neon();

}  // namespace edge_agent
