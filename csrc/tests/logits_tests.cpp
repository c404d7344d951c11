// The logits' kernels against the scalar ones, and those against softmax's definition in double precision.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "checks.h"
#include "kernels.h"
#include "logits.h"

using namespace edge_agent;  // NOLINT

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> drawn(std::size_t count, float spread) {
    static std::mt19937 engine(4661);
    std::normal_distribution<float> normal(0.0F, spread);
    std::vector<float> logits(count);
    for (float& logit : logits) {
        logit = normal(engine);
    }
    return logits;
}

bool same(const TokenStatistics& a, const TokenStatistics& b) {
    return a.token == b.token && std::memcmp(&a.probability, &b.probability, sizeof a.probability) == 0 &&
           std::memcmp(&a.entropy, &b.entropy, sizeof a.entropy) == 0;
}

TokenStatistics statistics(const KernelTable& kernels, const std::vector<float>& logits, double temperature = 1.0) {
    return token_statistics(kernels, logits.data(), logits.size(), temperature, logits.size());
}

bool refused(const std::vector<float>& logits, double temperature = 1.0, std::size_t token = 0) {
    try {
        token_statistics(scalar_kernels(), logits.data(), logits.size(), temperature, token);
    } catch (const std::invalid_argument&) {
        return true;
    }
    return false;
}

void test_definition(std::size_t count, float spread, double temperature) {
    const std::vector<float> logits = drawn(count, spread);
    const std::size_t likeliest =
        static_cast<std::size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    const double peak = static_cast<double>(logits[likeliest]);
    double total = 0.0;
    for (const float logit : logits) {
        total += std::exp((static_cast<double>(logit) - peak) / temperature);
    }
    double entropy = 0.0;
    for (const float logit : logits) {
        const double share = std::exp((static_cast<double>(logit) - peak) / temperature) / total;
        entropy -= share > 0.0 ? share * std::log(share) : 0.0;
    }
    const std::string name = std::to_string(count) + " logits of spread " + std::to_string(spread);
    const TokenStatistics made = statistics(scalar_kernels(), logits, temperature);
    check(made.token == likeliest, name + ": the likeliest");
    check(std::abs(made.probability * total - 1.0) < 5e-6, name + ": its probability");
    const double wanted = count > 1 ? entropy / std::log(static_cast<double>(count)) : 0.0;
    check(std::abs(made.entropy - wanted) < 2e-6, name + ": entropy");
    const TokenStatistics other = token_statistics(scalar_kernels(), logits.data(), count, temperature, count / 2);
    const double share = std::exp((static_cast<double>(logits[count / 2]) - peak) / temperature) / total;
    check(std::abs(other.probability - share) < 2e-6, name + ": the probability of another one");
}

}  // namespace

void test_logits(const KernelTable& kernels) {
    for (std::size_t count = 1; count < 70; ++count) {
        for (const float spread : {0.0F, 1.0F, 30.0F, 1e30F}) {
            const std::vector<float> logits = drawn(count, spread);
            check(same(statistics(kernels, logits), statistics(scalar_kernels(), logits)),
                  std::string(kernels.name) + " statistics of " + std::to_string(count));
        }
    }
    for (const std::size_t count : {std::size_t{4661}, std::size_t{49280}}) {
        std::vector<float> logits = drawn(count, 3.0F);
        logits[7] = -kInfinity;
        check(same(statistics(kernels, logits, 0.7), statistics(scalar_kernels(), logits, 0.7)),
              std::string(kernels.name) + " statistics of a vocabulary");
    }
    std::vector<float> ties(100, 1.0F);
    ties[3] = ties[50] = ties[99] = 2.0F;
    check(statistics(kernels, ties).token == 3, std::string(kernels.name) + " the first of the likeliest");
}

void test_logits_are_their_definition() {
    for (const std::size_t count : {1U, 2U, 9U, 500U, 4661U, 49280U}) {
        for (const float spread : {0.0F, 0.5F, 5.0F, 40.0F}) {
            test_definition(count, spread, 1.0);
            test_definition(count, spread, 2.5);
        }
    }
    check(!refused({1.0F, -kInfinity}), "a forbidden logit is none");
    check(refused({1.0F, std::nanf("")}) && refused({std::nanf("")}), "NaN is refused");
    check(refused({-kInfinity, -kInfinity}) && refused({kInfinity, 1.0F}), "infinite logits are refused");
    check(refused({}) && refused({1.0F}, 1.0, 2), "sizes are checked");
    check(refused({1.0F}, 0.0) && refused({1.0F}, std::nan("")) && refused({1.0F}, 1e9), "so is the temperature");
}
