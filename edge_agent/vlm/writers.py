"""Chooses how a bundle wants to be asked."""

from __future__ import annotations

from edge_agent.vlm.ask_reply import AskReplyWriter
from edge_agent.vlm.bundle import Bundle
from edge_agent.vlm.chat import ChatWriter
from edge_agent.vlm.prompt import PromptWriter


def writer_of(bundle: Bundle) -> PromptWriter:
    """The writer of a bundle's prompts. Raises ModelError where its tokenizer or settings are unfit."""
    return ChatWriter(bundle) if bundle.chats else AskReplyWriter(bundle)
