// Differential fuzzer: every instruction set of this machine against the scalar kernels, on random cases that replay.
//
// usage: fuzz [--runs N | --seconds N] [--seed S] [--fault NAME] [ISA]...
//
// Case i of a run has the seed S + i. A mismatch, or a death by a sanitizer or a signal, prints one line with what to
// type to replay that case alone; exit status 1. --fault fuzzes kernels with that deliberate fault instead; --fault
// list names them. Exit status 2: bad usage, or an instruction set that this machine lacks.

#include "fuzz.h"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>

// Of the sanitizers, where the program is built with one.
extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace edge_agent {
namespace {

struct Options {
    std::uint64_t runs = 20000;
    double seconds = 0.0;  // 0: `runs` decides
    std::uint64_t seed = 1;
    std::string fault;
    std::vector<const KernelTable*> tables;
};

char last_words[160] = "";  // printed by a handler, which may not allocate

void say_last_words() {
    const ssize_t written = write(STDERR_FILENO, last_words, std::strlen(last_words));
    static_cast<void>(written);
}

extern "C" void die_of_signal(int number) {
    say_last_words();
    std::signal(number, SIG_DFL);
    std::raise(number);
}

void catch_deaths() {
    if (__sanitizer_set_death_callback != nullptr) {
        __sanitizer_set_death_callback(say_last_words);
        return;
    }
    for (const int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) {
        std::signal(number, die_of_signal);
    }
}

std::string replay(const Options& options, const KernelTable& kernels, std::uint64_t seed) {
    const std::string which = options.fault.empty() ? kernels.name : "--fault " + options.fault;
    return "fuzz --runs 1 --seed " + std::to_string(seed) + " " + which;
}

void run_case(const KernelTable& kernels, std::uint64_t seed) {
    Random random(seed);
    switch (random.between(0, 9)) {
        case 0:
        case 1:
            return fuzz_sound(kernels, random);
        case 2:
        case 3:
            return fuzz_tensor(kernels, random);
        case 4:
            return fuzz_logits(kernels, random);
        case 5:
            return fuzz_intake(random);
        default:
            return fuzz_vision(kernels, random);
    }
}

// False where a case fails, after saying so.
bool run_one(const Options& options, const KernelTable& kernels, std::uint64_t seed) {
    const std::string again = replay(options, kernels, seed);
    std::snprintf(last_words, sizeof last_words, "fuzz: died; replay with: %s\n", again.c_str());
    try {
        run_case(kernels, seed);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "fuzz: %s differs from scalar: %s; replay with: %s\n", kernels.name, error.what(),
                     again.c_str());
        return false;
    }
    return true;
}

int run(const Options& options) {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    std::uint64_t done = 0;
    const auto goes_on = [&] {
        return options.seconds > 0.0 ? std::chrono::duration<double>(Clock::now() - start).count() < options.seconds
                                     : done < options.runs;
    };
    for (; goes_on(); ++done) {
        for (const KernelTable* kernels : options.tables) {
            if (!run_one(options, *kernels, options.seed + done)) {
                return 1;
            }
        }
    }
    std::string names;
    for (const KernelTable* kernels : options.tables) {
        names += std::string(names.empty() ? "" : ", ") + kernels->name;
    }
    std::printf("fuzz: %llu cases from seed %llu agree with scalar: %s\n", static_cast<unsigned long long>(done),
                static_cast<unsigned long long>(options.seed), names.c_str());
    return 0;
}

// Takes a number; throws std::invalid_argument where it is none.
double number(const std::string& name, const char* text) {
    char* end = nullptr;
    const double value = text == nullptr ? -1.0 : std::strtod(text, &end);
    if (text == nullptr || end == text || *end != '\0' || !(value >= 0.0 && value < 0x1p53)) {
        throw std::invalid_argument(name + " wants a number");
    }
    return value;
}

void take_fault(Options* options) {
    for (const KernelTable* kernels : faulty_kernels()) {
        if (options->fault == kernels->name) {
            options->tables = {kernels};
            return;
        }
    }
    throw std::invalid_argument("no fault is called '" + options->fault + "'; --fault list names them");
}

Options parse(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        if (word == "--runs") {
            options.runs = static_cast<std::uint64_t>(number(word, argv[++i]));
        } else if (word == "--seconds") {
            options.seconds = number(word, argv[++i]);
        } else if (word == "--seed") {
            options.seed = static_cast<std::uint64_t>(number(word, argv[++i]));
        } else if (word == "--fault") {
            options.fault = argv[i + 1] == nullptr ? "" : argv[++i];
        } else {
            options.tables.push_back(&kernels_named(word));
        }
    }
    if (!options.fault.empty() && options.fault != "list") {
        take_fault(&options);
    }
    if (options.tables.empty()) {
        options.tables = available_kernels();
    }
    return options;
}

}  // namespace
}  // namespace edge_agent

int main(int argc, char** argv) {
    using namespace edge_agent;  // NOLINT
    try {
        const Options options = parse(argc, argv);
        if (options.fault == "list") {
            for (const KernelTable* kernels : faulty_kernels()) {
                std::printf("%s\n", kernels->name);
            }
            return 0;
        }
        catch_deaths();
        return run(options);
    } catch (const std::invalid_argument& error) {
        std::fprintf(stderr, "fuzz: %s\n", error.what());
        return 2;
    }
}
