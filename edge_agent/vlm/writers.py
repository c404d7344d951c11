"""Chooses how a bundle wants to be asked."""

from __future__ import annotations

from collections.abc import Iterable

from edge_agent.errors import ModelError
from edge_agent.vlm.ask_reply import AskReplyWriter
from edge_agent.vlm.bundle import Bundle
from edge_agent.vlm.chat import ChatWriter
from edge_agent.vlm.manifest import verify_hint
from edge_agent.vlm.prompt import PromptWriter


def writer_of(bundle: Bundle) -> PromptWriter:
    """The writer of a bundle's prompts. Raises ModelError where its tokenizer or settings are unfit."""
    writer: PromptWriter = ChatWriter(bundle) if bundle.chats else AskReplyWriter(bundle)
    words = writer.tokenizer.get_vocab(with_added_tokens=True)
    check_tokens(words.values(), bundle, "tokenizer.json")
    check_tokens(writer.ends, bundle, "generation_config.json")
    if not bundle.chats and len(words) < bundle.vocab_size:  # models of others have spare rows
        said = f"has {len(words)} tokens, the embedding table {bundle.vocab_size} rows"
        raise ModelError(f"{bundle.path / 'tokenizer.json'} {said}", verify_hint(bundle.path))
    return writer


def check_tokens(tokens: Iterable[int], bundle: Bundle, file: str) -> None:
    """Raises ModelError, naming `file`, where one of its tokens has no row in the table of embeddings."""
    if (largest := max(tokens, default=-1)) >= bundle.vocab_size:
        said = f"has tokens up to {largest}, the embedding table only {bundle.vocab_size} rows"
        raise ModelError(f"{bundle.path / file} {said}", verify_hint(bundle.path))
