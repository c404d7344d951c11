// Tensor kernels against the scalar ones, and those against the definition. fuzz_tensor.cpp covers sizes and contents
// at random.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "checks.h"
#include "kernels.h"
#include "tensor.h"

using namespace edge_agent;  // NOLINT

namespace {

template <class Value>
Rows<Value> rows_of(std::vector<Value>& values, std::size_t rows) {
    const std::size_t width = values.size() / rows;
    return {values.data(), static_cast<std::ptrdiff_t>(width), rows, width};
}

template <class Value>
Rows<const Value> rows_of(const std::vector<Value>& values, std::size_t rows) {
    const std::size_t width = values.size() / rows;
    return {values.data(), static_cast<std::ptrdiff_t>(width), rows, width};
}

constexpr float kLoudest = 5.0F;

// Never over kLoudest, so that a scale of kLoudest / 127 holds whatever is drawn.
std::vector<float> noise(std::size_t count) {
    std::normal_distribution<float> normal(0.0F, 1.0F);
    std::vector<float> values(count);
    for (float& value : values) {
        value = std::clamp(normal(generator()), -kLoudest, kLoudest);
    }
    return values;
}

// Values at every tie of a scale and next to it, up and down; the first makes the scale what it is.
std::vector<float> ties(float scale) {
    std::vector<float> values{127.0F * scale};
    for (int step = -127; step < 127; ++step) {
        const float tie = (static_cast<float>(step) + 0.5F) * scale;
        values.insert(values.end(), {tie, std::nextafter(tie, 1e38F), std::nextafter(tie, -1e38F)});
    }
    values.resize(768, 0.0F);
    return values;
}

void test_ties(const KernelTable& kernels) {
    for (float scale : {1.0F, 0.1F, 0.3F, 7.7e-5F, 3.3e7F, 1e-29F, 1e-38F, 1e-40F, 2e36F}) {
        const std::vector<float> x = ties(scale);
        for (std::size_t width = 700; width <= x.size(); ++width) {
            std::vector<std::int8_t> wanted(width), got(width);
            scalar_kernels().tensor.quantise8(x.data(), width, scale, wanted.data());
            kernels.tensor.quantise8(x.data(), width, scale, got.data());
            check(wanted == got, std::string(kernels.name) + " ties of scale " + std::to_string(scale));
        }
    }
}

// Every width, each array exactly as large as its contents: AddressSanitizer sees one value too many.
void test_widths(const KernelTable& kernels) {
    const TensorKernels& scalar = scalar_kernels().tensor;
    const TensorKernels& fast = kernels.tensor;
    for (std::size_t width = 1; width <= 300; ++width) {
        const std::vector<float> x = noise(width), before = noise(width);
        const std::string name = std::string(kernels.name) + " tensor width " + std::to_string(width);
        check(scalar.peak(x.data(), width) == fast.peak(x.data(), width), name + " peak");
        check(scalar.distance(x.data(), before.data(), width) == fast.distance(x.data(), before.data(), width),
              name + " distance");
        const float scale = kLoudest / 127.0F;
        const std::size_t bytes = (width + 1) / 2;
        std::vector<std::int8_t> wanted(width), got(width), old(width), wanted_delta(width), delta(width);
        std::vector<std::uint8_t> wanted_halves(bytes), halves(bytes);
        std::vector<float> wanted_back(width), back(width);
        scalar.quantise8(x.data(), width, scale, wanted.data());
        fast.quantise8(x.data(), width, scale, got.data());
        scalar.dequantise8(wanted.data(), width, scale, wanted_back.data());
        fast.dequantise8(got.data(), width, scale, back.data());
        check(wanted == got && wanted_back == back, name + " int8");
        scalar.quantise4(x.data(), width, kLoudest / 7.0F, wanted_halves.data());
        fast.quantise4(x.data(), width, kLoudest / 7.0F, halves.data());
        scalar.dequantise4(wanted_halves.data(), width, scale, wanted_back.data());
        fast.dequantise4(halves.data(), width, scale, back.data());
        check(wanted_halves == halves && wanted_back == back, name + " int4");
        scalar.quantise8(before.data(), width, scale, old.data());
        check(scalar.subtract8(got.data(), old.data(), width, wanted_delta.data()) ==
                      fast.subtract8(got.data(), old.data(), width, delta.data()) &&
                  wanted_delta == delta,
              name + " difference");
        check(scalar.sums_fit(old.data(), delta.data(), width) == fast.sums_fit(old.data(), delta.data(), width),
              name + " fit");
    }
}

void test_refusals_write_nothing(const KernelTable& kernels) {
    for (float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
        std::vector<float> x = noise(3 * 70);
        x[2 * 70 + 69] = bad;
        std::vector<std::int8_t> out(x.size(), 55);
        std::vector<float> scales(3, 55.0F);
        std::string said;
        try {
            quantise_int8(kernels, rows_of(static_cast<const std::vector<float>&>(x), 3), rows_of(out, 3),
                          scales.data());
        } catch (const std::invalid_argument& error) {
            said = error.what();
        }
        check(said.rfind("x[2, 69] is ", 0) == 0, "the place of a value that is not finite is named");
        check(out == std::vector<std::int8_t>(x.size(), 55) && scales == std::vector<float>(3, 55.0F),
              "and nothing is written");
    }
}

void test_int8_is_its_definition() {
    const std::vector<float> x = noise(40 * 96);
    std::vector<std::int8_t> values(x.size());
    std::vector<float> scales(40), back(x.size());
    quantise_int8(scalar_kernels(), rows_of(x, 40), rows_of(values, 40), scales.data());
    dequantise_int8(scalar_kernels(), rows_of(static_cast<const std::vector<std::int8_t>&>(values), 40), scales.data(),
                    rows_of(back, 40));
    for (std::size_t row = 0; row < 40; ++row) {
        float largest = 0.0F;
        for (std::size_t i = row * 96; i < (row + 1) * 96; ++i) {
            largest = std::fmax(largest, std::fabs(x[i]));
            check(static_cast<float>(values[i]) == std::nearbyint(x[i] / scales[row]), "int8 is rint(x / scale)");
            check(std::fabs(back[i] - x[i]) <= scales[row] * 0.50001F, "int8 is off by half a step");
        }
        check(scales[row] == largest / 127.0F, "the scale is the largest magnitude / 127");
    }
}

void test_known_rows() {
    const float row[] = {127.0F, 0.5F, 1.5F, 2.5F, -0.5F, -2.5F, 126.5F, -127.0F};
    const std::int8_t wanted[] = {127, 0, 2, 2, 0, -2, 126, -127};
    std::int8_t values[8];
    scalar_kernels().tensor.quantise8(row, 8, 1.0F, values);
    check(std::memcmp(values, wanted, 8) == 0, "ties go to the even value");
    const float small[] = {7.0F, -7.0F, 1.0F, -1.0F, 0.0F};
    const std::uint8_t halves[] = {0x97, 0xf1, 0x00};
    std::uint8_t packed[3];
    scalar_kernels().tensor.quantise4(small, 5, 1.0F, packed);
    check(std::memcmp(packed, halves, 3) == 0, "the first of two values is in the low half of the byte");
    float back[5];
    scalar_kernels().tensor.dequantise4(packed, 5, 1.0F, back);
    check(std::memcmp(back, small, sizeof small) == 0, "and comes back as it was");
    const float subnormal[] = {190.0F * 1.4e-45F, 1.4e-45F, 0.0F};
    scalar_kernels().tensor.quantise8(subnormal, 3, 1.4e-45F, values);
    check(values[0] == 127 && values[1] == 1, "a subnormal scale clips");
}

void test_a_delta_says_what_changed(const KernelTable& kernels) {
    std::vector<float> loud = noise(4 * 64);
    loud[64] = 1.0F;
    loud[65] = 2.0F;  // row 1 reaches 2 to kLoudest, so 0.05 is 1.2 to 3.2 of its steps and stays within reach
    const std::vector<float> before = loud;
    std::vector<float> now = before;
    now[64] += 0.05F;
    now[2 * 64] = 1000.0F;  // row 2: out of reach, 200 times the loudest
    for (std::size_t i = 3 * 64; i < 4 * 64; ++i) {
        now[i] = -now[i];  // row 3: a largest value crosses more than 127 steps
    }
    std::vector<std::int8_t> values(now.size()), delta(now.size()), sum(now.size());
    std::vector<float> scales(4);
    std::vector<std::uint8_t> peaks(4);
    quantise_int8(kernels, rows_of(before, 4), rows_of(values, 4), scales.data());
    const std::vector<std::int8_t> old = values;
    const std::vector<float>& x = now;
    delta_int8(kernels, rows_of(x, 4), rows_of(old, 4), scales.data(), rows_of(delta, 4), peaks.data());
    check(peaks[0] == 0 && peaks[1] > 0 && peaks[1] <= 127 && peaks[2] == kNoDelta && peaks[3] == kNoDelta,
          "peaks tell rows that stayed, moved and left");
    const std::vector<std::int8_t>& moved = delta;
    add_delta_int8(kernels, rows_of(old, 4), rows_of(moved, 4), rows_of(sum, 4));
    for (std::size_t i = 0; i < 2 * 64; ++i) {
        const float back = static_cast<float>(sum[i]) * scales[i / 64];
        check(std::fabs(back - now[i]) <= scales[i / 64] * 0.50001F, "a delta leaves half a step and does not drift");
    }
    check(std::memcmp(sum.data() + 128, old.data() + 128, 128) == 0, "rows that a delta cannot tell stay as they were");
}

}  // namespace

void test_tensor(const KernelTable& kernels) {
    test_ties(kernels);
    test_widths(kernels);
    test_refusals_write_nothing(kernels);
    test_a_delta_says_what_changed(kernels);
}

void test_tensor_is_its_definition() {
    test_int8_is_its_definition();
    test_known_rows();
}
