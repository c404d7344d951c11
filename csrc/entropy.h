// Entropy of counted levels, in integers as far as counts are small: one code path for every instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edge_agent {

constexpr std::size_t kLoggedCounts = 4097;  // counts of tiles up to 64 x 64

// round(c log2 c * 2^46) of the counts c below kLoggedCounts. Sums of these are exact, so that their order is free and
// levels that do not occur can be left out.
const std::uint64_t* count_log_table();

// Entropy in bits of `total` < kLoggedCounts pixels whose counts have table entries that add up to `log_sum`; 0 where
// total is 0.
double entropy_of_log_sum(std::uint64_t log_sum, std::size_t total);

// -sum p log2 p of 256 counts that add up to `total`, in bits; 0 where total is 0.
double entropy_bits(const std::uint32_t* counts, std::uint64_t total);

}  // namespace edge_agent
