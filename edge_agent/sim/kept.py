"""What is kept of the last picture, so that a further question about it costs less: in the device, in the cloud.

The device keeps its embeddings and tiles (edge_agent.engines.looking), both decoders the caches behind the picture of
their last prompt, the cloud's of each device (edge_agent.vlm.prefix), and the cloud says which tensors of the session
it still holds (HAVE).
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.sim.table import Node
from edge_agent.sim.world import Question, Side

NONE = -1


@dataclass(slots=True)
class Kept:
    """Of one device: the photo that each part worked on last, NONE before the first. What the cloud holds is that
    photo as all its views or as its overview: one does not help with the other.
    """

    encoded: int = NONE
    tiled: int = NONE
    prompted: int = NONE
    sent: tuple[int, bool] = (NONE, False)

    def encode_ms(self, question: Question) -> float:
        """Of encoding the whole picture; it is kept from now on."""
        known = self.encoded == question.photo
        self.encoded = question.photo
        return 0.0 if known else question.edge.encode_ms

    def sending_ms(self, question: Question, overview: bool) -> float:
        """Of encoding what only the cloud reads, and of coding all of it; likewise."""
        if overview:
            return question.overview.code_ms
        known = self.tiled == question.photo
        self.tiled = question.photo
        tiles_ms = 0.0 if known else question.cloud.encode_ms - question.edge.encode_ms
        return tiles_ms + question.cloud.code_ms

    def answer_ms(self, question: Question, node: Node) -> float:
        """Of the device's decoder; likewise."""
        known = self.prompted == question.photo
        self.prompted = question.photo
        return answer_ms(question.edge, node, known)

    def bytes_up(self, question: Question, overview: bool) -> int:
        """Of what the cloud does not hold: nothing but the question, if this device sent the picture last."""
        if self.sent == (question.photo, overview):
            return len(question.features.question.encode())
        return (question.overview if overview else question.cloud).bytes_up


def answer_ms(side: Side, node: Node, known: bool) -> float:
    """Of a node's decoder, from prompt to last token, if the picture of its last prompt is `known` to be this one."""
    return side.prefill_ms * (node.again_prefill if known else 1.0) + side.decode_ms
