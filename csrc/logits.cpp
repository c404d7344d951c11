// Probability and entropy of a token by the sums of the kernels.

#include "logits.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace edge_agent {

TokenStatistics token_statistics(const KernelTable& kernels, const float* logits, std::size_t count, double temperature,
                                 std::size_t token) {
    constexpr double kLog2OfE = 1.4426950408889634;
    if (count == 0 || count > kMaxLogits || token > count) {
        throw std::invalid_argument("token is not one of the logits, of which there must be 1 to 268435456");
    }
    if (!(temperature >= kMinTemperature && temperature <= kMaxTemperature)) {
        throw std::invalid_argument("temperature must be 0.001 to 1000");
    }
    const auto scale = static_cast<float>(kLog2OfE / temperature);
    const float peak = kernels.logits.peak(logits, count);
    LogitSums sums;
    kernels.logits.sums(logits, count, peak, scale, &sums);
    if (std::isnan(sums.weighted)) {
        throw std::invalid_argument("logits hold NaN, or no finite number");
    }
    const double total = static_cast<double>(sums.total);
    TokenStatistics made{token, 1.0 / total, 0.0};
    if (token == count) {
        made.token = kernels.logits.find(logits, count, peak);
    } else {
        LogitSums one;
        kernels.logits.sums(logits + token, 1, peak, scale, &one);
        made.probability = std::min(1.0, static_cast<double>(one.total) / total);
    }
    if (count > 1) {
        const double nats = std::log(total) - static_cast<double>(sums.weighted) / (total * kLog2OfE);
        made.entropy = std::min(1.0, std::max(0.0, nats / std::log(static_cast<double>(count))));
    }
    return made;
}

}  // namespace edge_agent
