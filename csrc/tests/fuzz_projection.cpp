// Random bases: tensors through each kernel against scalar, there and back, and bytes that nobody wrote.

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "fuzz.h"
#include "projection.h"
#include "symbols.h"

namespace edge_agent {
namespace {

std::vector<float> floats(std::size_t count, float size, Random& random) {
    std::vector<float> made(count);
    for (float& value : made) {
        value = size * static_cast<float>(2.0 * random.unit() - 1.0);
    }
    return made;
}

ProjectionTable table_of(Random& random) {
    ProjectionTable table{};
    table.shift = random.one_in(2) ? 0 : static_cast<unsigned>(random.between(0, kMostShift));
    std::uint32_t left = kFrequencySum - static_cast<std::uint32_t>(kSymbols);
    for (std::size_t i = 0; i < kSymbols; ++i) {
        const auto more = i + 1 == kSymbols ? left : static_cast<std::uint32_t>(random.next() % (left + 1));
        table.starts[i + 1] = table.starts[i] + 1 + more;
        left -= more;
    }
    for (std::size_t i = 0; i < kMagnitudes; ++i) {
        table.centroids[i] = static_cast<float>(i) + 0.25F * static_cast<float>(random.unit());
    }
    return table;
}

struct Case {
    std::size_t tokens, hidden, views;
    std::unique_ptr<Projection> projection;
};

Case random_case(Random& random) {
    Case made{random.size(12), random.size(random.one_in(4) ? 200 : 40), random.size(4), nullptr};
    std::vector<ProjectionGroup> groups;
    std::size_t places = 0;
    for (std::size_t first = 0; first < made.tokens;) {
        const std::size_t rows = random.between(1, made.tokens - first), kept = random.between(1, made.hidden);
        const std::size_t columns = random.between(1, (made.tokens - first) / rows), count = rows * columns;
        groups.push_back({first, rows, columns, kept, floats(count * made.hidden, 1.0F, random),
                          floats(rows * rows, 1.0F, random), floats(columns * columns, 1.0F, random),
                          floats(made.hidden * kept, 1.0F, random), floats(kept * made.hidden, 1.0F, random)});
        first += count;
        places += count * kept;
    }
    ProjectionLevel level{{}, {}, {}, 0.4F, {table_of(random), table_of(random), table_of(random)}};
    for (std::uint32_t place = 0; place < places; ++place) {
        if (!random.one_in(4)) {
            level.places.push_back(place);
            level.classes.push_back(static_cast<std::uint8_t>(random.between(0, 2)));
            level.steps.push_back(0.05F + static_cast<float>(random.unit()));
        }
    }
    made.projection = std::make_unique<Projection>(made.tokens, made.hidden, std::move(groups),
                                                   std::vector<ProjectionLevel>{std::move(level)});
    return made;
}

// Bytes that nobody wrote are refused, or they are what the values in them are written as.
void read_any(const Projection& projection, std::size_t views, const std::vector<std::uint8_t>& bytes) {
    const Exact<std::uint8_t> payload(bytes.size(), 0);
    std::copy(bytes.begin(), bytes.end(), payload.data());
    Guarded<std::int32_t> values(views * projection.values(0));
    bool read = true;
    try {
        projection.unpack(0, views, payload.data(), bytes.size(), values.data());
    } catch (const std::invalid_argument&) {
        read = false;
    }
    values.check("values of any bytes");
    expect(!read || projection.pack(0, views, values.data()) == bytes,
           "bytes that are read are those that would be written");
}

bool quantised(const Projection& projection, const KernelTable& kernels, const Rows<const float>& x,
               Guarded<std::int32_t>* out, const std::int32_t* held = nullptr, const float* margins = nullptr) {
    try {
        projection.quantise(kernels, 0, x, out->data(), held, margins);
        return true;
    } catch (const std::invalid_argument&) {
        return false;
    }
}

// What lies near what is held keeps it, in every instruction set; the rest is rounded as without.
void keep_what_is_held(const Projection& projection, const KernelTable& kernels, const Rows<const float>& x,
                       Guarded<std::int32_t>* plain, std::size_t count, Random& random) {
    const Exact<std::int32_t> held(count, 0);
    for (std::size_t i = 0; i < count; ++i) {
        const auto away = static_cast<std::int32_t>(random.between(0, 4)) - 2;
        held.data()[i] = std::clamp(plain->data()[i] + away, -kMostInteger, kMostInteger);
    }
    const std::vector<float> margins = floats(count, 2.0F, random);
    Guarded<std::int32_t> wanted(count), got(count);
    expect(quantised(projection, scalar_kernels(), x, &wanted, held.data(), margins.data()), "held values refused");
    expect(quantised(projection, kernels, x, &got, held.data(), margins.data()), "held values refused");
    expect_same(wanted, got, "values beside those held");
    for (std::size_t i = 0; i < count; ++i) {
        expect(wanted.data()[i] == held.data()[i] || wanted.data()[i] == plain->data()[i], "a value of neither");
    }
}

// Integers under tables that the caller names, there and back; then bytes that nobody wrote.
void code_symbols(Random& random) {
    const SymbolCoder coder({table_of(random), table_of(random), table_of(random)});
    const std::size_t count = random.size(200);
    const Exact<std::uint16_t> kinds(count, 0);
    const Exact<std::int32_t> values(count, 0);
    for (std::size_t i = 0; i < count; ++i) {
        kinds.data()[i] = static_cast<std::uint16_t>(random.between(0, 2));
        const std::size_t most = random.one_in(8) ? 32767 : 20;
        const auto value = static_cast<std::int32_t>(random.between(0, most));
        values.data()[i] = random.one_in(2) ? value : -value;
    }
    std::vector<std::uint8_t> bytes = coder.pack(count, values.data(), kinds.data());
    for (std::size_t i = random.between(0, 2); i > 0; --i) {
        bytes[random.next() % bytes.size()] = random.byte();
    }
    const Exact<std::uint8_t> payload(bytes.size(), 0);
    std::copy(bytes.begin(), bytes.end(), payload.data());
    Guarded<std::int32_t> back(count);
    bool read = true;
    try {
        coder.unpack(count, payload.data(), bytes.size(), kinds.data(), back.data());
    } catch (const std::invalid_argument&) {
        read = false;
    }
    back.check("integers of any bytes");
    expect(!read || coder.pack(count, back.data(), kinds.data()) == bytes, "symbols read are those that were written");
}

}  // namespace

void fuzz_projection(const KernelTable& kernels, Random& random) {
    const Case made = random_case(random);
    const Projection& projection = *made.projection;
    const std::size_t tokens = made.views * made.tokens, count = made.views * projection.values(0);
    const std::size_t size = tokens * made.hidden;
    const std::string what = std::to_string(made.views) + " x " + std::to_string(made.tokens) + "x" +
                             std::to_string(made.hidden) + " in a basis";
    std::vector<float> data = floats(size, random.one_in(8) ? 1000.0F : 3.0F, random);
    if (random.one_in(16)) {
        const float broken[] = {NAN, INFINITY, -INFINITY, 3e38F, 1e-40F};
        data[random.next() % size] = random.pick(broken);
    }
    const Exact<float> x(size, 4 * random.between(0, 3));
    std::copy(data.begin(), data.end(), x.data());
    const Rows<const float> rows{x.data(), static_cast<std::ptrdiff_t>(made.hidden), tokens, made.hidden};
    Guarded<std::int32_t> wanted(count), got(count), again(count);
    if (!quantised(projection, scalar_kernels(), rows, &wanted)) {
        expect(!quantised(projection, kernels, rows, &got), "refusal of " + what);
        return;
    }
    expect(quantised(projection, kernels, rows, &got), what + " refused");
    expect_same(wanted, got, "values of " + what);
    Guarded<float> wanted_back(size), back(size);
    const auto stride = static_cast<std::ptrdiff_t>(made.hidden);
    projection.restore(scalar_kernels(), 0, wanted.data(), {wanted_back.data(), stride, tokens, made.hidden});
    projection.restore(kernels, 0, wanted.data(), {back.data(), stride, tokens, made.hidden});
    expect_same(wanted_back, back, what + ", restored");
    keep_what_is_held(projection, kernels, rows, &wanted, count, random);
    code_symbols(random);
    std::vector<std::uint8_t> bytes = projection.pack(0, made.views, wanted.data());
    projection.unpack(0, made.views, bytes.data(), bytes.size(), again.data());
    expect_same(wanted, again, "values of " + what + ", unpacked");
    if (random.one_in(3)) {
        bytes.resize(random.between(0, bytes.size() + 3), random.byte());
    }
    for (std::size_t i = random.between(0, 4); i > 0 && !bytes.empty(); --i) {
        bytes[random.next() % bytes.size()] = random.byte();
    }
    read_any(projection, made.views, bytes);
}

}  // namespace edge_agent
