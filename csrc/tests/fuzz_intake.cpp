// Random frames for an intake: it takes exactly those that a reading of docs/protocol.md, field by field, lets pass.

#include <algorithm>

#include "frame_bytes.h"
#include "fuzz.h"
#include "intake.h"

namespace edge_agent {
namespace {

struct Asked {
    Expected expected;
    std::size_t room;
    std::size_t filled;
};

std::uint64_t number_at(const std::vector<std::uint8_t>& frame, std::size_t at, std::size_t bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) {
        value |= std::uint64_t{frame[at + i]} << 8 * i;
    }
    return value;
}

bool right(const std::vector<std::uint8_t>& frame, const Asked& asked) {
    if (frame.size() < 37 || std::string(frame.begin(), frame.begin() + 4) != "EAP1" || frame[4] != 0x12) {
        return false;
    }
    const std::size_t size = frame.size() - 36;
    const std::uint32_t checksum = plain_checksum(plain_checksum(0, frame.data(), 32), frame.data() + 36, size);
    return number_at(frame, 8, 8) == asked.expected.session && number_at(frame, 16, 4) == asked.expected.stream &&
           number_at(frame, 20, 4) == asked.expected.seq && number_at(frame, 24, 4) == 0 &&
           number_at(frame, 28, 4) == size && number_at(frame, 32, 4) == checksum &&
           size <= asked.expected.chunk_bytes && size <= asked.expected.most_bytes && asked.filled + size <= asked.room;
}

// A right frame with a few bytes changed, cut or longer; sealed again, so that the checksum is not all that is wrong.
std::vector<std::uint8_t> frame_for(const Asked& asked, Random& random) {
    std::vector<std::uint8_t> payload(random.between(0, 300));
    std::generate(payload.begin(), payload.end(), [&random] { return random.byte(); });
    auto frame = chunk_frame(asked.expected.session, asked.expected.stream, asked.expected.seq, payload);
    for (std::size_t changes = random.one_in(2) ? 0 : random.between(1, 3); changes > 0; --changes) {
        frame[random.next() % std::min<std::size_t>(frame.size(), random.one_in(2) ? 36 : frame.size())] =
            random.byte();
    }
    if (random.one_in(4)) {
        frame.resize(random.between(0, frame.size() + 3));
    }
    if (frame.size() > 36 && random.one_in(2)) {
        seal(frame.data(), frame.size());
    }
    return frame;
}

}  // namespace

void fuzz_intake(Random& random) {
    Asked asked;
    asked.expected = {random.next(), static_cast<std::uint32_t>(random.next()),
                      static_cast<std::uint32_t>(random.next()), random.between(0, 600), random.between(1, 400)};
    asked.room = random.between(1, 600);
    asked.filled = random.between(0, asked.room);
    Guarded<std::uint8_t> room(asked.room);
    Guarded<std::uint8_t> wanted(asked.room);
    Destination destination{room.data(), asked.room, asked.filled};
    Intake intake;
    intake.arm(asked.expected, &destination);
    for (int count = 0; count < 4; ++count) {
        const auto frame = frame_for(asked, random);
        const Exact<std::uint8_t> exact(frame.size(), random.between(0, 7));
        std::copy(frame.begin(), frame.end(), exact.data());
        const bool takes = right(frame, asked);
        expect(intake.take(exact.data(), frame.size(), plain_checksum) == takes,
               std::string("a frame of ") + std::to_string(frame.size()) + " bytes was " + (takes ? "left" : "taken"));
        if (takes) {
            std::copy(frame.begin() + 36, frame.end(), wanted.data() + asked.filled);
            asked.filled += frame.size() - 36;
            asked.expected.seq += 1;
            asked.expected.most_bytes -= frame.size() - 36;
        }
        expect(destination.filled == asked.filled, "the count of bytes");
        expect_same(wanted, room, "the bytes of a tensor");
    }
}

}  // namespace edge_agent
