// Random tensors: each kernel, through the functions of tensor.h, against the scalar ones.

#include <algorithm>
#include <cmath>
#include <limits>

#include "fuzz.h"
#include "tensor.h"

namespace edge_agent {
namespace {

constexpr const char* kKinds[] = {"normal", "ties", "near ties", "subnormal", "huge", "outliers", "zeros", "mixed"};
constexpr std::size_t kKindCount = sizeof kKinds / sizeof kKinds[0];

// A value that, divided by a scale of largest / levels, lies at a tie or next to one.
float near_tie(float scale, bool exactly, Random& random) {
    const auto step = static_cast<float>(random.between(0, 252)) - 126.0F;
    float value = (step + 0.5F) * scale;
    for (std::size_t i = exactly ? 0 : random.between(0, 3); i > 0; --i) {
        value = std::nextafter(value, random.one_in(2) ? 1e30F : -1e30F);
    }
    return value;
}

float value_of(std::size_t kind, float scale, Random& random) {
    const auto signed_unit = static_cast<float>(2.0 * random.unit() - 1.0);
    switch (kind) {
        case 1:
        case 2:
            return random.one_in(20) ? 127.0F * scale : near_tie(scale, kind == 1, random);
        case 3:
            return signed_unit * (random.one_in(2) ? 1e-40F : 3e-38F);
        case 4:
            return signed_unit * std::numeric_limits<float>::max();
        case 5:
            return signed_unit * (random.one_in(50) ? 100.0F : 1.0F);
        case 6:
            return random.one_in(2) ? 0.0F : -0.0F;
        case 7:
            return std::ldexp(signed_unit, static_cast<int>(random.between(0, 270)) - 145);
        default:
            return signed_unit * scale * 127.0F;
    }
}

// Rows of random size, stride, alignment and content.
template <class Value>
struct Matrix {
    Matrix(std::size_t r, std::size_t w, Random& random)
        : rows(r),
          width(w),
          stride(w + (random.one_in(2) ? 0 : random.between(1, 40))),
          memory((r - 1) * stride + w, sizeof(Value) * random.between(0, 15)) {}

    Rows<Value> view() const { return {memory.data(), static_cast<std::ptrdiff_t>(stride), rows, width}; }
    Rows<const Value> read() const { return {memory.data(), static_cast<std::ptrdiff_t>(stride), rows, width}; }
    std::size_t count() const { return (rows - 1) * stride + width; }

    std::size_t rows, width, stride;
    Exact<Value> memory;
};

struct Floats : Matrix<float> {
    Floats(std::size_t r, std::size_t w, Random& random) : Matrix(r, w, random), kind(random.next() % kKindCount) {
        const float usual[] = {1.0F, 0.5F, 1e-3F, 0.031F, 1e30F, 1e-30F, 2e-38F};
        const float scale = random.pick(usual);
        for (std::size_t i = 0; i < count(); ++i) {
            memory.data()[i] = value_of(kind, scale, random);
        }
    }
    std::string name() const {
        return std::to_string(rows) + "x" + std::to_string(width) + " stride " + std::to_string(stride) + " " +
               kKinds[kind];
    }

    std::size_t kind;
};

Floats random_floats(Random& random) {
    const std::size_t usual[] = {64, 128, 192, 576, 1024, 1088};
    const std::size_t width = random.one_in(3) ? random.pick(usual) : random.size(random.one_in(10) ? 2500 : 300);
    return {random.size(width > 500 ? 4 : 12), width, random};
}

template <class Value>
Rows<Value> packed(Guarded<Value>* values, std::size_t rows) {
    const std::size_t width = values->count() / rows;
    return {values->data(), static_cast<std::ptrdiff_t>(width), rows, width};
}

template <class Value>
Rows<const Value> packed_const(Guarded<Value>* values, std::size_t rows) {
    const Rows<Value> found = packed(values, rows);
    return {found.data, found.stride, found.rows, found.width};
}

// A quantised tensor, and what it stands for.
template <class Value>
struct Quantised {
    Quantised(std::size_t rows, std::size_t bytes, std::size_t width)
        : values(rows * bytes), scales(rows), back(rows * width) {}
    Guarded<Value> values;
    Guarded<float> scales;
    Guarded<float> back;
};

void fuzz_int8(const KernelTable& kernels, Random& random) {
    const Floats x = random_floats(random);
    Quantised<std::int8_t> wanted(x.rows, x.width, x.width), got(x.rows, x.width, x.width);
    for (Quantised<std::int8_t>* made : {&wanted, &got}) {
        const KernelTable& table = made == &got ? kernels : scalar_kernels();
        quantise_int8(table, x.read(), packed(&made->values, x.rows), made->scales.data());
        dequantise_int8(table, packed_const(&made->values, x.rows), made->scales.data(), packed(&made->back, x.rows));
    }
    expect_same(wanted.scales, got.scales, "int8 scales of " + x.name());
    expect_same(wanted.values, got.values, "int8 of " + x.name());
    expect_same(wanted.back, got.back, "values of int8 of " + x.name());
}

void fuzz_int4(const KernelTable& kernels, Random& random) {
    const Floats x = random_floats(random);
    const std::size_t bytes = (x.width + 1) / 2;
    Quantised<std::uint8_t> wanted(x.rows, bytes, x.width), got(x.rows, bytes, x.width);
    for (Quantised<std::uint8_t>* made : {&wanted, &got}) {
        const KernelTable& table = made == &got ? kernels : scalar_kernels();
        quantise_int4(table, x.read(), packed(&made->values, x.rows), made->scales.data());
        dequantise_int4(table, packed_const(&made->values, x.rows), made->scales.data(), packed(&made->back, x.rows));
    }
    expect_same(wanted.scales, got.scales, "int4 scales of " + x.name());
    expect_same(wanted.values, got.values, "int4 of " + x.name());
    expect_same(wanted.back, got.back, "values of int4 of " + x.name());
}

// A step from a random tensor, from a little to far too much; then the step taken back in.
void fuzz_delta(const KernelTable& kernels, Random& random) {
    const Floats before = random_floats(random);
    Floats now(before.rows, before.width, random);
    if (!random.one_in(4)) {
        const auto share = static_cast<float>(random.unit() * random.unit());
        for (std::size_t row = 0; row < now.rows; ++row) {
            for (std::size_t i = 0; i < now.width; ++i) {
                const float apart = (before.read().row(row)[i] * static_cast<float>(2.0 * random.unit() - 1.0)) * share;
                now.view().row(row)[i] = before.read().row(row)[i] * 0.5F + apart * 0.5F;
            }
        }
    }
    Guarded<std::int8_t> values(now.rows * now.width);
    Guarded<float> scales(now.rows);
    quantise_int8(scalar_kernels(), before.read(), packed(&values, now.rows), scales.data());
    Guarded<std::int8_t> wanted(values.count()), got(values.count()), wanted_sum(values.count()), sum(values.count());
    Guarded<std::uint8_t> wanted_peaks(now.rows), peaks(now.rows);
    Guarded<float> wanted_changes(now.rows), changes(now.rows);
    const std::string what = "delta of " + now.name() + " to " + before.name();
    const Rows<const std::int8_t> old = packed_const(&values, now.rows);
    delta_int8(scalar_kernels(), now.read(), old, scales.data(), packed(&wanted, now.rows), wanted_peaks.data());
    delta_int8(kernels, now.read(), old, scales.data(), packed(&got, now.rows), peaks.data());
    expect_same(wanted_peaks, peaks, what + ", peaks");
    expect_same(wanted, got, what);
    row_changes(scalar_kernels(), now.read(), before.read(), wanted_changes.data());
    row_changes(kernels, now.read(), before.read(), changes.data());
    expect_same(wanted_changes, changes, "changes of " + now.name() + " since " + before.name());
    add_delta_int8(scalar_kernels(), old, packed_const(&wanted, now.rows), packed(&wanted_sum, now.rows));
    add_delta_int8(kernels, old, packed_const(&got, now.rows), packed(&sum, now.rows));
    expect_same(wanted_sum, sum, what + ", taken back in");
}

// Any bytes as values and delta: differences and sums that do not fit are found by all.
void fuzz_bytes(const KernelTable& kernels, Random& random) {
    const std::size_t width = random.size(400);
    const Matrix<std::int8_t> a(1, width, random), b(1, width, random);
    const std::size_t span = random.between(1, 255);
    for (std::size_t i = 0; i < width; ++i) {
        a.memory.data()[i] = static_cast<std::int8_t>(random.next() % span - span / 2);
        b.memory.data()[i] = static_cast<std::int8_t>(random.next() % span - span / 2);
    }
    const TensorKernels& scalar = scalar_kernels().tensor;
    Guarded<std::int8_t> wanted(width), got(width);
    const std::string what = " of " + std::to_string(width) + " bytes of span " + std::to_string(span);
    const std::uint8_t peak = scalar.subtract8(a.read().data, b.read().data, width, wanted.data());
    expect(peak == kernels.tensor.subtract8(a.read().data, b.read().data, width, got.data()), "peak" + what);
    expect_same(wanted, got, "difference" + what);
    expect(scalar.sums_fit(a.read().data, b.read().data, width) ==
               kernels.tensor.sums_fit(a.read().data, b.read().data, width),
           "fit" + what);
    scalar.add8(a.read().data, b.read().data, width, wanted.data());
    kernels.tensor.add8(a.read().data, b.read().data, width, got.data());
    expect_same(wanted, got, "sum" + what);
}

// One value that is not finite, anywhere: refused by name, and nothing written.
void fuzz_refusal(const KernelTable& kernels, Random& random) {
    const Floats x = random_floats(random);
    const float bad[] = {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN(),
                         std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()};
    const std::size_t row = random.between(0, x.rows - 1), column = random.between(0, x.width - 1);
    x.view().row(row)[column] = random.pick(bad);
    const std::string place = "x[" + std::to_string(row) + ", " + std::to_string(column) + "] is ";
    Guarded<std::int8_t> values(x.rows * x.width);
    Guarded<float> scales(x.rows);
    const Guarded<std::int8_t> untouched(values);
    std::string said;
    try {
        quantise_int8(kernels, x.read(), packed(&values, x.rows), scales.data());
    } catch (const std::invalid_argument& error) {
        said = error.what();
    }
    expect(said.rfind(place, 0) == 0, "refusal of " + place + "not finite in " + x.name() + ": '" + said + "'");
    expect_same(untouched, values, "refusal of " + x.name());
}

}  // namespace

void fuzz_tensor(const KernelTable& kernels, Random& random) {
    using Part = void (*)(const KernelTable&, Random&);
    const Part parts[] = {fuzz_int8, fuzz_int8, fuzz_int4, fuzz_delta, fuzz_bytes, fuzz_refusal, fuzz_projection};
    random.pick(parts)(kernels, random);
}

}  // namespace edge_agent
