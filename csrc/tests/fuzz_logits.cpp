// Random logits: each kernel against the scalar one.

#include <cmath>
#include <cstdio>
#include <limits>

#include "fuzz.h"
#include "logits.h"

namespace edge_agent {
namespace {

constexpr const char* kKinds[] = {"flat", "normal", "sharp", "huge", "forbidden", "not a number"};
constexpr std::size_t kKindCount = sizeof kKinds / sizeof kKinds[0];

float logit_of(std::size_t kind, Random& random) {
    const auto unit = static_cast<float>(2.0 * random.unit() - 1.0);
    switch (kind) {
        case 0:
            return random.one_in(2) ? 0.0F : -0.0F;
        case 1:
            return 10.0F * unit;
        case 2:
            return random.one_in(100) ? 200.0F * unit : unit;
        case 3:
            return unit * std::numeric_limits<float>::max();
        case 4:
            return random.one_in(2) ? -std::numeric_limits<float>::infinity() : 30.0F * unit;
        default:
            return random.one_in(20) ? std::nanf("") : unit;
    }
}

// What comes of it: statistics, or that they were refused.
std::string outcome(const KernelTable& kernels, const float* logits, std::size_t count, double temperature,
                    std::size_t token) {
    try {
        const TokenStatistics made = token_statistics(kernels, logits, count, temperature, token);
        char text[96];
        std::snprintf(text, sizeof text, "%zu %a %a", made.token, made.probability, made.entropy);
        return text;
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
}

}  // namespace

void fuzz_logits(const KernelTable& kernels, Random& random) {
    const std::size_t count = random.size(5000);
    const std::size_t kind = random.next() % kKindCount;
    const Exact<float> logits(count, sizeof(float) * random.between(0, 15));
    for (std::size_t i = 0; i < count; ++i) {
        logits.data()[i] = logit_of(kind, random);
    }
    const double temperature = random.one_in(2) ? 1.0 : 0.05 + 4.0 * random.unit();
    const std::size_t token = random.one_in(2) ? count : random.next() % count;
    const std::string wanted = outcome(scalar_kernels(), logits.data(), count, temperature, token);
    const std::string got = outcome(kernels, logits.data(), count, temperature, token);
    expect(got == wanted, "statistics of " + std::to_string(count) + " logits, " + kKinds[kind] + ": " + got +
                              " instead of " + wanted);
}

}  // namespace edge_agent
