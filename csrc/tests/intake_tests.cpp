// The intake of frames: what it takes, what it leaves alone, and that it then has changed nothing.

#include <cstring>
#include <string>
#include <vector>

#include "checks.h"
#include "frame_bytes.h"
#include "intake.h"

using namespace edge_agent;  // NOLINT

namespace {

constexpr std::uint64_t kSession = 0x8877665544332211U;
constexpr std::uint32_t kStream = 3;
constexpr std::uint32_t kSeq = 70000;
using Bytes = std::vector<std::uint8_t>;

Bytes counted(std::size_t size) {
    Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i) {
        bytes[i] = static_cast<std::uint8_t>(7 * i + 1);
    }
    return bytes;
}

// An intake that expects 100 bytes, and where they go.
struct Armed {
    explicit Armed(std::uint64_t most_bytes = 100, std::size_t chunk_bytes = 60) {
        destination.to = room.data();
        destination.size = room.size();
        intake.arm({kSession, kStream, kSeq, most_bytes, chunk_bytes}, &destination);
    }
    bool take(const Bytes& frame) { return intake.take(frame.data(), frame.size(), plain_checksum); }

    Bytes room = Bytes(100, 0);
    Destination destination;
    Intake intake;
};

void refuses(const std::string& what, const Bytes& frame, std::uint64_t most_bytes = 100) {
    Armed armed(most_bytes);
    check(!armed.take(frame) && armed.destination.filled == 0 && armed.intake.settle().frames == 0 &&
              armed.room == Bytes(100, 0),
          "an intake leaves alone " + what);
}

Bytes changed(std::size_t at, std::uint8_t value, bool sealed = true) {
    Bytes frame = chunk_frame(kSession, kStream, kSeq, counted(50));
    frame[at] = value;
    if (sealed) {
        seal(frame.data(), frame.size());
    }
    return frame;
}

void test_refusals() {
    refuses("a frame with another magic", changed(3, '2'));
    refuses("another type", changed(4, 0x11));
    refuses("another session", changed(15, 1));
    refuses("another stream", changed(16, 4));
    refuses("a number that was", changed(20, static_cast<std::uint8_t>(kSeq - 1)));
    refuses("a number that is yet to come", changed(20, static_cast<std::uint8_t>(kSeq + 1)));
    refuses("a frame with meta", changed(24, 1));
    refuses("a length that is not the message's", changed(28, 49));
    refuses("a length of a gigabyte", changed(31, 0x40));
    refuses("a wrong checksum", changed(32, 0, false));
    refuses("a changed payload", changed(85, 0, false));
    refuses("a changed head", changed(5, 1, false));
    refuses("a chunk that is too large", chunk_frame(kSession, kStream, kSeq, counted(61)));
    refuses("more than may come", chunk_frame(kSession, kStream, kSeq, counted(50)), 49);
    refuses("no payload", chunk_frame(kSession, kStream, kSeq, {}));
    const Bytes whole = chunk_frame(kSession, kStream, kSeq, counted(50));
    for (std::size_t size = 0; size < whole.size(); ++size) {
        refuses("a frame cut at " + std::to_string(size), Bytes(whole.begin(), whole.begin() + size));
    }
}

void test_taking() {
    Armed armed;
    const Bytes first = counted(60), second = counted(40);
    check(armed.take(chunk_frame(kSession, kStream, kSeq, first)), "an intake takes what is expected");
    check(!armed.take(chunk_frame(kSession, kStream, kSeq, first)), "not twice");
    check(!armed.take(chunk_frame(kSession, kStream, kSeq + 1, counted(41))), "not more than there is room for");
    check(armed.take(chunk_frame(kSession, kStream, kSeq + 1, second)), "the next number, up to the last byte");
    check(std::memcmp(armed.room.data(), first.data(), 60) == 0 &&
              std::memcmp(armed.room.data() + 60, second.data(), 40) == 0,
          "the payloads lie one behind the other");
    const Taken taken = armed.intake.settle();
    check(taken.frames == 2 && taken.bytes == 100, "frames and bytes are counted");
    check(armed.intake.settle().frames == 0, "and told once");
}

void test_ends() {
    Armed armed;
    const Bytes frame = chunk_frame(kSession, kStream, kSeq, counted(10));
    armed.destination.to = nullptr;
    check(!armed.take(frame), "nothing is taken where the memory was taken back");
    armed.destination.to = armed.room.data();
    const auto finishes = [&armed](std::uint32_t before, const std::uint8_t* data, std::size_t size) {
        armed.destination.to = nullptr;
        return plain_checksum(before, data, size);
    };
    check(!armed.intake.take(frame.data(), frame.size(), finishes), "nor where that happens behind the checksum");
    armed.destination.to = armed.room.data();
    armed.intake.disarm();
    check(!armed.take(frame) && armed.room == Bytes(100, 0), "nor without a destination");
}

}  // namespace

void test_intake() {
    const Bytes head = counted(32);
    check(head_checksum(head.data()) == plain_checksum(0, head.data(), 32), "the checksum of a head is CRC-32");
    test_refusals();
    test_taking();
    test_ends();
}
