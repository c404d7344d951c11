// A plugin of qemu-user that counts the guest's instructions; tools/count_instructions.py builds and uses it.
//
// Declares the part of qemu's plugin interface that it uses, the same since version 4.2, as distributions ship qemu
// without its header. PLUGIN_VERSION is what that qemu wants to read: 1 up to qemu 8, 2 from qemu 9 on.

#include <cstddef>
#include <cstdint>
#include <cstdio>

extern "C" {

struct qemu_plugin_tb;
struct qemu_info_t;
using plugin_id = std::uint64_t;

std::size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb* block);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*translated)(plugin_id, qemu_plugin_tb*));
void qemu_plugin_register_vcpu_tb_exec_cb(qemu_plugin_tb* block, void (*executed)(unsigned, void*), int registers,
                                          void* data);
void qemu_plugin_register_atexit_cb(plugin_id id, void (*ended)(plugin_id, void*), void* data);

__attribute__((visibility("default"))) int qemu_plugin_version = PLUGIN_VERSION;
__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const qemu_info_t*, int, char**);
}

namespace {

std::uint64_t instructions = 0;  // of one thread: the counted program has no other

void executed(unsigned, void* count) { instructions += reinterpret_cast<std::uintptr_t>(count); }

void translated(plugin_id, qemu_plugin_tb* block) {
    void* const count = reinterpret_cast<void*>(qemu_plugin_tb_n_insns(block));
    qemu_plugin_register_vcpu_tb_exec_cb(block, executed, 0, count);
}

void ended(plugin_id, void*) {
    std::fprintf(stderr, "instructions: %llu\n", static_cast<unsigned long long>(instructions));
}

}  // namespace

int qemu_plugin_install(plugin_id id, const qemu_info_t*, int, char**) {
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, nullptr);
    return 0;
}
