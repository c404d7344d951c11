// Embeddings as few integers, and those as few bytes, composed from the kernels.

#include "projection.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace edge_agent {
namespace {

constexpr std::size_t kMostTokens = 4096;
constexpr std::size_t kMostHidden = 8192;
constexpr float kMostInBasis = 1e6F;

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument("a basis " + what); }

void check_numbers(const std::vector<float>& numbers, std::size_t count, const char* name) {
    if (numbers.size() != count) {
        refuse(std::string("has ") + std::to_string(numbers.size()) + " values of " + name + " instead of " +
               std::to_string(count));
    }
    for (const float number : numbers) {
        if (!(std::fabs(number) <= kMostInBasis)) {
            refuse(std::string("holds a value of ") + name + " that is not finite and at most 1e6");
        }
    }
}

void check_values(const std::int32_t* values, std::size_t count) {
    if (!std::all_of(values, values + count, fits)) {
        throw std::invalid_argument("a value is outside -32767..32767");
    }
}

// Coefficients divided by their steps and rounded, from the value `at` on; sums[0] is that of the place `from`. With
// `held`, those nearer to it than their margin are that.
void round(const ProjectionLevel& plan, std::size_t at, std::size_t behind, std::size_t from, const float* sums,
           std::int32_t* out, const std::int32_t* held, const float* margins) {
    for (; at < behind; ++at) {
        const float coefficient = sums[plan.places[at] - from];
        const float magnitude = std::fabs(coefficient) / plan.steps[at] + plan.rounding;
        if (!(magnitude <= static_cast<float>(Projection::kMostValue))) {
            throw std::invalid_argument("a coefficient is NaN, or larger than the basis is made for");
        }
        const auto value = static_cast<std::int32_t>(magnitude);
        out[at] = coefficient < 0.0F ? -value : value;
        if (held != nullptr && std::fabs(coefficient / plan.steps[at] - static_cast<float>(held[at])) < margins[at]) {
            out[at] = held[at];
        }
    }
}

float amount_of(const ProjectionTable& table, std::int32_t value) {
    const std::int32_t magnitude = value < 0 ? -value : value;
    const float amount = table.shift == 0 && magnitude < static_cast<std::int32_t>(kMagnitudes)
                             ? table.centroids[magnitude]
                             : static_cast<float>(magnitude);
    return value < 0 ? -amount : amount;
}

}  // namespace

Projection::Projection(std::size_t tokens, std::size_t hidden, std::vector<ProjectionGroup> groups,
                       std::vector<ProjectionLevel> levels)
    : tokens_(tokens), hidden_(hidden), groups_(std::move(groups)), levels_(std::move(levels)) {
    check();
}

void Projection::check() const {
    if (tokens_ == 0 || tokens_ > kMostTokens || hidden_ == 0 || hidden_ > kMostHidden || levels_.empty()) {
        refuse("has no level, or is not for 1 x 1 to 4096 x 8192");
    }
    std::size_t next = 0, places = 0;
    for (const ProjectionGroup& group : groups_) {
        if (group.first != next || group.rows == 0 || group.columns == 0 || group.rows > kMostTokens ||
            group.columns > kMostTokens || group.count() > tokens_ - next || group.kept == 0 || group.kept > hidden_) {
            refuse("has groups that do not follow each other");
        }
        next += group.count();
        places += group.count() * group.kept;
        check_numbers(group.mean, group.count() * hidden_, "mean");
        check_numbers(group.down, group.rows * group.rows, "down");
        check_numbers(group.across, group.columns * group.columns, "across");
        check_numbers(group.analysis, hidden_ * group.kept, "analysis");
        check_numbers(group.synthesis, group.kept * hidden_, "synthesis");
    }
    if (next != tokens_) {
        refuse("has groups that are not all tokens");
    }
    for (const ProjectionLevel& level : levels_) {
        const std::size_t count = level.places.size();
        check_numbers(level.steps, count, "steps");
        if (level.classes.size() != count || !(level.rounding > 0.0F && level.rounding < 1.0F)) {
            refuse("has a level whose parts differ in length, or whose rounding is not between 0 and 1");
        }
        for (std::size_t i = 0; i < count; ++i) {
            if (level.places[i] >= places || (i > 0 && level.places[i] <= level.places[i - 1]) ||
                level.classes[i] >= level.tables.size() || !(level.steps[i] >= 1e-6F)) {
                refuse("has a level with a place, a class or a step out of range");
            }
        }
        if (!std::all_of(level.tables.begin(), level.tables.end(), is_table)) {
            refuse("has a table whose frequencies are not 32 of at least 1 that sum to 8192");
        }
    }
}

// The grid of one view to its frequencies [rows * columns, hidden], added to `out`, which is 0.
void Projection::mix(const KernelTable& kernels, const ProjectionGroup& group, const Rows<const float>& x,
                     std::size_t view, std::vector<float>* scratch, float* out) const {
    const std::size_t size = group.count() * hidden_, width = group.columns * hidden_;
    scratch->resize(2 * size);
    float *const apart = scratch->data(), *const mixed = apart + size;
    for (std::size_t row = 0; row < group.count(); ++row) {
        const float* const from = x.row(view * tokens_ + group.first + row);
        for (std::size_t i = 0; i < hidden_; ++i) {
            apart[row * hidden_ + i] = from[i] - group.mean[row * hidden_ + i];
        }
    }
    std::fill_n(mixed, size, 0.0F);
    for (std::size_t row = 0; row < group.rows; ++row) {
        kernels.tensor.multiply({group.across.data(), group.columns, group.columns, group.columns, 1},
                                {apart + row * width, group.columns, hidden_, hidden_, 1}, mixed + row * width,
                                hidden_);
    }
    kernels.tensor.multiply({group.down.data(), group.rows, group.rows, group.rows, 1},
                            {mixed, group.rows, width, width, 1}, out, width);
}

void Projection::quantise(const KernelTable& kernels, std::size_t level, const Rows<const float>& x, std::int32_t* out,
                          const std::int32_t* held, const float* margins) const {
    const ProjectionLevel& plan = levels_[level];
    const std::size_t views = x.rows / tokens_, each = plan.places.size();
    if (held != nullptr) {
        check_values(held, views * each);
    }
    std::vector<float> scratch, mixed, sums;
    std::size_t base = 0, at = 0;
    for (const ProjectionGroup& group : groups_) {
        const std::size_t size = group.count() * hidden_;
        mixed.assign(views * size, 0.0F);  // [view, frequency, hidden]
        for (std::size_t view = 0; view < views; ++view) {
            mix(kernels, group, x, view, &scratch, mixed.data() + view * size);
        }
        for (std::size_t row = 0; row < group.count(); ++row) {
            const std::size_t from = base + row * group.kept, first = at;
            while (at < each && plan.places[at] < from + group.kept) {
                ++at;
            }
            if (at > first) {  // only the components up to the last that counts
                const std::size_t columns = std::min(group.kept, (plan.places[at - 1] - from) / 8 * 8 + 8);
                sums.assign(views * columns, 0.0F);
                kernels.tensor.multiply({mixed.data() + row * hidden_, views, hidden_, size, 1},
                                        {group.analysis.data(), hidden_, columns, group.kept, 1}, sums.data(), columns);
                for (std::size_t view = 0; view < views; ++view) {
                    round(plan, first, at, from, sums.data() + view * columns, out + view * each,
                          held == nullptr ? nullptr : held + view * each,
                          held == nullptr ? nullptr : margins + view * each);
                }
            }
        }
        base += group.count() * group.kept;
    }
}

// Frequencies [rows * columns, hidden] back to the grid of one view, added to `out`. `scratch` holds as many, 0.
void Projection::unmix(const KernelTable& kernels, const ProjectionGroup& group, const float* mixed, float* scratch,
                       const Rows<float>& out, std::size_t first) const {
    const std::size_t width = group.columns * hidden_;
    kernels.tensor.multiply({group.down.data(), group.rows, group.rows, 1, group.rows},
                            {mixed, group.rows, width, width, 1}, scratch, width);
    for (std::size_t row = 0; row < group.rows; ++row) {
        kernels.tensor.multiply({group.across.data(), group.columns, group.columns, 1, group.columns},
                                {scratch + row * width, group.columns, hidden_, hidden_, 1},
                                out.row(first + row * group.columns), static_cast<std::size_t>(out.stride));
    }
}

void Projection::restore(const KernelTable& kernels, std::size_t level, const std::int32_t* values,
                         const Rows<float>& out) const {
    const ProjectionLevel& plan = levels_[level];
    const std::size_t views = out.rows / tokens_, each = plan.places.size();
    check_values(values, views * each);
    std::vector<float> mixed, scratch, amounts;
    std::vector<std::uint32_t> components;
    for (std::size_t view = 0; view < views; ++view, values += each) {
        std::size_t base = 0, at = 0;
        for (const ProjectionGroup& group : groups_) {
            mixed.assign(group.count() * hidden_, 0.0F);  // [frequency, hidden]
            for (std::size_t row = 0; row < group.count(); ++row, base += group.kept) {
                amounts.clear();
                components.clear();
                for (; at < each && plan.places[at] < base + group.kept; ++at) {
                    if (values[at] != 0) {
                        amounts.push_back(amount_of(plan.tables[plan.classes[at]], values[at]) * plan.steps[at]);
                        components.push_back(static_cast<std::uint32_t>(plan.places[at] - base));
                    }
                }
                kernels.tensor.combine(amounts.data(), components.data(), amounts.size(), group.synthesis.data(),
                                       hidden_, mixed.data() + row * hidden_);
            }
            const std::size_t first = view * tokens_ + group.first;
            for (std::size_t row = 0; row < group.count(); ++row) {
                std::copy_n(group.mean.data() + row * hidden_, hidden_, out.row(first + row));
            }
            scratch.assign(group.count() * hidden_, 0.0F);
            unmix(kernels, group, mixed.data(), scratch.data(), out, first);
        }
    }
}

std::vector<std::uint8_t> Projection::pack(std::size_t level, std::size_t views, const std::int32_t* values) const {
    const ProjectionLevel& plan = levels_[level];
    const std::size_t each = plan.places.size();
    check_values(values, views * each);
    RangeWriter writer;
    for (std::size_t view = views; view-- > 0;) {
        for (std::size_t i = each; i-- > 0;) {
            write(&writer, plan.tables[plan.classes[i]], values[view * each + i]);
        }
    }
    return writer.finish();
}

void Projection::unpack(std::size_t level, std::size_t views, const std::uint8_t* data, std::size_t size,
                        std::int32_t* out) const {
    const ProjectionLevel& plan = levels_[level];
    RangeReader reader(data, size);
    for (std::size_t view = 0; view < views && !reader.broken(); ++view, out += plan.places.size()) {
        for (std::size_t i = 0; i < plan.places.size() && !reader.broken(); ++i) {
            out[i] = read(&reader, plan.tables[plan.classes[i]]);
            if (!fits(out[i])) {
                throw std::invalid_argument("the bytes hold a value outside -32767..32767");
            }
        }
    }
    if (!reader.ended()) {
        throw std::invalid_argument("the bytes are not what this basis writes at this level");
    }
}

}  // namespace edge_agent
