"""A decoder that is told what `reckoning` finds: as more or less weight of numbers, yes and no in its reply.

What it needs of picture and question is kept as one more layer of the cache: the embeddings as they came in, and where
each stands. At the token that begins a reply the question's words are looked up there (`phrases`); where they count,
compare or relate named things and all tiles are there, and nowhere else, the tokens are reckoned with.
"""

from __future__ import annotations

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from tools.train.model import Cache, Decoder, Ensemble
from tools.train.phrases import LONGEST, Asked, Phrases, same_rows
from tools.train.reckoning import MOST, Reckoning, spots
from tools.train.settings import TEXT_POSITION, ModelConfig
from tools.train.text import ASK, REPLY

TOLD = MOST + 3
"""Numbers 0..9, yes, no."""


class Teller(nn.Module):  # type: ignore[misc]
    """From what was read up to the beginning of a reply to what the reply is told."""

    def __init__(self, words: Tensor, reckoning: Reckoning, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.reckoning, self.phrases = reckoning, Phrases(tokenizer)
        known = words[torch.cat((torch.tensor([ASK, REPLY]), self.phrases.pieces))]
        self.known = nn.Parameter(known.detach().clone(), requires_grad=False)  # rounded as those of the decoder
        self.register_buffer("spots", spots(), persistent=False)

    def words(self) -> Tensor:
        """[2 + pieces, hidden]: embeddings of the marks of question and reply, then of the words that are known."""
        return self.known * self.known.shape[1] ** 0.5

    def text(self, rows: Tensor, stand: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """`rows` [k, n, hidden] at the positions `stand` [k, n], those of them that are `seen` [k, n] bool: the rows
        of the question [k, LONGEST, hidden], and [k] bool, whether it begins like one that is reckoned with.
        """
        words = self.words()
        begins = same_rows(rows, words[:1])[..., 0] & seen & (stand >= TEXT_POSITION)
        begin = torch.where(begins, stand, -1.0).amax(1)  # [k]
        texts, _ = gathered(rows, stand, seen, begin[:, None] + 1 + torch.arange(LONGEST))
        return texts, self.phrases.opened(texts, words[2:])

    def asked(self, texts: Tensor) -> Asked:
        """What the rows of questions ask."""
        found: Asked = self.phrases(texts, self.words()[2:])
        return found

    def told(self, rows: Tensor, stand: Tensor, seen: Tensor, asked: Asked) -> Tensor:
        """As `text`, and what is asked: [k, 12]."""
        tokens, whole = gathered(rows, stand, seen, self.spots[None].to(stand.dtype))
        found: Tensor = self.reckoning(tokens, *asked)
        return found * whole[:, None].to(found.dtype)

    def forward(self, rows: Tensor, stand: Tensor, seen: Tensor) -> Tensor:
        """All of it: [k, 12]."""
        return self.told(rows, stand, seen, self.asked(self.text(rows, stand, seen)[0]))


class Reckoned(nn.Module):  # type: ignore[misc]
    """`decoder` and what it is told; runs as they do, with a cache that is one layer longer."""

    def __init__(
        self, decoder: Decoder | Ensemble, reckoning: Reckoning, config: ModelConfig, tokenizer: Tokenizer
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self.teller: nn.Module = Teller(decoder.words_weight(), reckoning, tokenizer)
        self._heads = config.heads
        told = torch.zeros(TOLD, config.vocab)
        for i, word in enumerate((*map(str, range(MOST + 1)), "yes", "no")):
            told[i, tokenizer.token_to_id(word)] = 1
        self.register_buffer("told", told, persistent=False)
        self.reply = nn.Parameter(decoder.words_weight()[REPLY : REPLY + 1].detach().clone(), requires_grad=False)

    def embed(self, ids: Tensor) -> Tensor:
        y: Tensor = self.decoder.embed(ids)
        return y

    def words_weight(self) -> Tensor:
        y: Tensor = self.decoder.words_weight()
        return y

    def run(self, x: Tensor, positions: Tensor, mask: Tensor, past: Cache | None = None) -> tuple[Tensor, Cache]:
        """As Decoder.run; behind the hidden states what the reply is told, [b, t, 12]."""
        hidden, kept = self.decoder.run(x, positions, mask, past[:-1] if past is not None else None)
        b, t, _ = x.shape
        rows = x.view(b, t, self._heads, -1).transpose(1, 2)  # [b, heads, t, d]
        stand = (positions + 1).to(x.dtype)[:, None, :, None].expand_as(rows)
        if past is not None:
            rows, stand = torch.cat((past[-1][0], rows), dim=2), torch.cat((past[-1][1], stand), dim=2)
        told = self._tell(x, mask, rows.transpose(1, 2).flatten(2), stand[:, 0, :, 0] - 1)
        return torch.cat((hidden, told), dim=-1), [*kept, (rows, stand)]

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., hidden of the decoder + 12] to [..., vocab]."""
        y: Tensor = self.decoder.logits(hidden[..., :-TOLD]) + hidden[..., -TOLD:] @ self.told
        return y

    def _tell(self, x: Tensor, mask: Tensor, rows: Tensor, stand: Tensor) -> Tensor:
        """`x` [b, t, hidden], `rows` [b, n, hidden] all that was read, at positions `stand` [b, n]: [b, t, 12]."""
        nothing = x[..., :TOLD] * 0
        row, column = torch.nonzero(same_rows(x, self.reply * x.shape[-1] ** 0.5)[..., 0]).unbind(1)  # [k] each
        seen = mask.expand(x.shape[0], -1, -1, -1)[row, 0, column]  # [k, n]
        return nothing.index_put((row, column), self.teller(rows[row], stand[row], seen))


def gathered(rows: Tensor, stand: Tensor, seen: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Those of `rows` [k, n, hidden] that are `seen` and stand at `wanted` [k or 1, m]: [k, m, hidden], 0 where there
    is none, and [k] bool, whether all are there. No row stands where another one does.
    """
    here = ((stand[:, None] == wanted[..., None]) & seen[:, None]).to(rows.dtype)  # [k, m, n]
    return here @ rows, here.sum(-1).amin(-1) > 0
