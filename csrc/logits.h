// What softmax over a vocabulary says of one token; knows sizes and refusals, not Python.
#pragma once

#include <cstddef>

#include "kernels.h"

namespace edge_agent {

constexpr std::size_t kMaxLogits = std::size_t{1} << 28;
constexpr double kMinTemperature = 1e-3;
constexpr double kMaxTemperature = 1e3;

struct TokenStatistics {
    std::size_t token;
    double probability;  // of the token, 0..1
    double entropy;      // of all, over log(count), 0..1; 0 where count is 1
};

// Of softmax(logits / temperature): `token`, or the likeliest (the first of several) where that is `count`. Throws
// std::invalid_argument where a logit is NaN or none is finite, or where count, token or temperature is out of range.
TokenStatistics token_statistics(const KernelTable& kernels, const float* logits, std::size_t count, double temperature,
                                 std::size_t token);

}  // namespace edge_agent
