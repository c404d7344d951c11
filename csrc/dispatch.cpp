// Asks the CPU what it has and chooses one table of kernels for the life of the process.

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#include "kernels.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace edge_agent {
namespace {

struct Feature {
    const char* name;
    bool present;
};

#if defined(__x86_64__)
std::vector<Feature> all_features() {
    __builtin_cpu_init();
    return {{"sse4.2", __builtin_cpu_supports("sse4.2") != 0},    {"avx", __builtin_cpu_supports("avx") != 0},
            {"avx2", __builtin_cpu_supports("avx2") != 0},        {"fma", __builtin_cpu_supports("fma") != 0},
            {"avx512f", __builtin_cpu_supports("avx512f") != 0},  {"avx512bw", __builtin_cpu_supports("avx512bw") != 0},
            {"avx512vl", __builtin_cpu_supports("avx512vl") != 0}};
}
#elif defined(__aarch64__) && defined(__linux__)
std::vector<Feature> all_features() {  // bit numbers of AT_HWCAP, fixed by the kernel's interface
    const unsigned long bits = getauxval(AT_HWCAP);
    return {{"asimd", (bits >> 1 & 1) != 0},
            {"fphp", (bits >> 9 & 1) != 0},
            {"asimdhp", (bits >> 10 & 1) != 0},
            {"asimddp", (bits >> 20 & 1) != 0},
            {"sve", (bits >> 22 & 1) != 0}};
}
#elif defined(__aarch64__)
std::vector<Feature> all_features() { return {{"asimd", true}}; }
#else
std::vector<Feature> all_features() { return {}; }
#endif

bool has_feature(const std::string& name) {
    for (const Feature& feature : all_features()) {
        if (name == feature.name) {
            return feature.present;
        }
    }
    return false;
}

std::vector<const KernelTable*> found_kernels() {
    std::vector<const KernelTable*> tables{&scalar_kernels()};
    if (vision_neon() != nullptr && has_feature("asimd")) {
        static const KernelTable table{"neon", *vision_neon(), *sound_neon(), *tensor_neon(), *logits_neon()};
        tables.push_back(&table);
    }
    if (vision_neon_dotprod() != nullptr && has_feature("asimddp")) {
        static const KernelTable table{"neon_dotprod", *vision_neon_dotprod(), *sound_neon(), *tensor_neon(),
                                       *logits_neon()};
        tables.push_back(&table);
    }
    if (vision_avx2() != nullptr && has_feature("avx2")) {
        static const KernelTable table{"avx2", *vision_avx2(), *sound_avx2(), *tensor_avx2(), *logits_avx2()};
        tables.push_back(&table);
    }
    return tables;
}

// Found at the first call: asking the CPU takes as long as a small kernel.
const std::vector<const KernelTable*>& available() {
    static const std::vector<const KernelTable*> tables = found_kernels();
    return tables;
}

std::string available_names() {
    std::string names;
    for (const KernelTable* table : available()) {
        names += names.empty() ? table->name : std::string(", ") + table->name;
    }
    return names;
}

}  // namespace

const KernelTable& scalar_kernels() {
    static const KernelTable table{"scalar", *vision_scalar(), *sound_scalar(), *tensor_scalar()};
    return table;
}

std::vector<const KernelTable*> available_kernels() { return available(); }

const KernelTable& kernels_named(const std::string& name) {
    for (const KernelTable* table : available()) {
        if (name == table->name) {
            return *table;
        }
    }
    throw std::invalid_argument("no kernels for the instruction set '" + name + "' on this machine: available are " +
                                available_names());
}

const KernelTable& active_kernels() {
    static std::atomic<const KernelTable*> chosen{nullptr};
    if (const KernelTable* table = chosen.load()) {
        return *table;
    }
    const char* wanted = std::getenv("EDGE_AGENT_ISA");
    const KernelTable* table = available().back();
    if (wanted != nullptr && *wanted != '\0') {
        try {
            table = &kernels_named(wanted);
        } catch (const std::invalid_argument& error) {
            throw std::invalid_argument(std::string("EDGE_AGENT_ISA: ") + error.what());
        }
    }
    chosen.store(table);
    return *table;
}

std::vector<std::string> cpu_features() {
    std::vector<std::string> names;
    for (const Feature& feature : all_features()) {
        if (feature.present) {
            names.emplace_back(feature.name);
        }
    }
    return names;
}

}  // namespace edge_agent
