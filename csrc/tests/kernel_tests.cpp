// Checks every instruction set of this machine against the scalar kernels, and those against first principles.
//
// usage: kernel_tests [ISA]...    fails if one of the named instruction sets is not available here

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>

#include "checks.h"
#include "kernels.h"

using namespace edge_agent;  // NOLINT

namespace {

int checks = 0;
int failures = 0;

void test_choice() {
    bool refused = false;
    setenv("EDGE_AGENT_ISA", "mmx", 1);
    try {
        active_kernels();
    } catch (const std::invalid_argument& error) {
        refused =
            std::strstr(error.what(), "EDGE_AGENT_ISA") != nullptr && std::strstr(error.what(), "scalar") != nullptr;
    }
    check(refused, "an unknown EDGE_AGENT_ISA is refused and the available ones named");
    setenv("EDGE_AGENT_ISA", "scalar", 1);
    check(std::strcmp(active_kernels().name, "scalar") == 0, "EDGE_AGENT_ISA is obeyed");
    unsetenv("EDGE_AGENT_ISA");
    check(std::strcmp(active_kernels().name, "scalar") == 0, "the choice stands for the life of the process");
}

}  // namespace

void check(bool good, const std::string& what) {
    ++checks;
    if (!good) {
        ++failures;
        std::fprintf(stderr, "FAILED: %s\n", what.c_str());
    }
}

std::mt19937& generator() {
    static std::mt19937 engine(20240501);
    return engine;
}

int main(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        try {
            kernels_named(argv[i]);
        } catch (const std::invalid_argument& error) {
            std::fprintf(stderr, "kernel_tests: %s\n", error.what());
            return 2;
        }
    }
    test_choice();
    test_vision_is_its_definition();
    test_sound_is_its_definition();
    test_tensor_is_its_definition();
    test_logits_are_their_definition();
    test_intake();
    for (const KernelTable* kernels : available_kernels()) {
        const int before = checks;
        test_vision(*kernels);
        test_sound(*kernels);
        test_tensor(*kernels);
        test_logits(*kernels);
        std::printf("%s: %d checks\n", kernels->name, checks - before);
    }
    std::printf("%d checks, %d failed\n", checks, failures);
    return failures == 0 ? 0 : 1;
}
