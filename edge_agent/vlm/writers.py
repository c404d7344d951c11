"""Chooses how a bundle wants to be asked."""

from __future__ import annotations

from edge_agent.errors import ModelError
from edge_agent.vlm.ask_reply import AskReplyWriter
from edge_agent.vlm.bundle import Bundle
from edge_agent.vlm.chat import ChatWriter
from edge_agent.vlm.manifest import VERIFY
from edge_agent.vlm.prompt import PromptWriter


def writer_of(bundle: Bundle) -> PromptWriter:
    """The writer of a bundle's prompts. Raises ModelError where its tokenizer or settings are unfit."""
    writer: PromptWriter = ChatWriter(bundle) if bundle.chats else AskReplyWriter(bundle)
    words = writer.tokenizer.get_vocab(with_added_tokens=True)
    largest = max((*words.values(), *writer.ends))
    if largest >= bundle.vocab_size:
        said = f"has tokens up to {largest}, the embedding table only {bundle.vocab_size} rows"
        raise ModelError(f"{bundle.path / 'tokenizer.json'} {said}", VERIFY)
    return writer
