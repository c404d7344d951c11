// Entropy of counted levels.

#include "entropy.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace edge_agent {
namespace {

constexpr double kOne = 70368744177664.0;  // 2^46: n log n of 4096 pixels just fits

double count_log(std::uint32_t count) {
    return count == 0 ? 0.0 : static_cast<double>(count) * std::log2(static_cast<double>(count));
}

}  // namespace

const std::uint64_t* count_log_table() {
    static const std::array<std::uint64_t, kLoggedCounts> table = [] {
        std::array<std::uint64_t, kLoggedCounts> values{};
        for (std::uint32_t count = 0; count < kLoggedCounts; ++count) {
            values[count] = static_cast<std::uint64_t>(std::llround(count_log(count) * kOne));
        }
        return values;
    }();
    return table.data();
}

double entropy_of_log_sum(std::uint64_t log_sum, std::size_t total) {
    // (n log n - sum c log c) / n: exactly 0 where one count is all of n.
    const std::uint64_t all = count_log_table()[total];
    return log_sum >= all ? 0.0 : static_cast<double>(all - log_sum) / (kOne * static_cast<double>(total));
}

double entropy_bits(const std::uint32_t* counts, std::uint64_t total) {
    if (total < kLoggedCounts) {
        std::uint64_t sum = 0;
        for (std::size_t level = 0; level < 256; ++level) {
            sum += count_log_table()[counts[level]];
        }
        return entropy_of_log_sum(sum, total);
    }
    double sums[4] = {};  // four chains of additions in a fixed order: fast, and the same everywhere
    for (std::size_t level = 0; level < 256; ++level) {
        sums[level % 4] += count_log(counts[level]);
    }
    const double n = static_cast<double>(total);
    return std::max(0.0, (n * std::log2(n) - ((sums[0] + sums[1]) + (sums[2] + sums[3]))) / n);
}

}  // namespace edge_agent
