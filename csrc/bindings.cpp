// edge_agent._core: the Python module. Its files check what Python hands over, release the GIL and call: no arithmetic,
// and no hidden copies.

#include "bindings.h"

#include <string>
#include <vector>

namespace edge_agent {
namespace {

std::vector<std::string> available_isas() {
    std::vector<std::string> names;
    for (const KernelTable* table : available_kernels()) {
        names.emplace_back(table->name);
    }
    return names;
}

}  // namespace
}  // namespace edge_agent

PYBIND11_MODULE(_core, module) {
    using namespace edge_agent;  // NOLINT
    module.doc() = "SIMD kernels of edge_agent; docs/features.md has the formulas of the features.";
    module.def("available_isas", &available_isas, "Instruction sets this machine can run, slowest first.");
    module.def(
        "active_isa", [] { return std::string(active_kernels().name); },
        "The one in use. ValueError where EDGE_AGENT_ISA names none that is available.");
    module.def("cpu_features", &cpu_features, "CPU features that matter here and are present.");
#if defined(__clang__)
    module.attr("compiler") = "clang " __clang_version__;
#else
    module.attr("compiler") = "gcc " __VERSION__;
#endif
    add_vision(module);
    add_vision_stream(module);
    add_sound(module);
    add_tensor(module);
    add_logits(module);
    add_projection(module);
    add_intake(module);
}
