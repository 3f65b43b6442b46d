"""The exercises of the chapter on words and pictures: attend, mask, drop, steer."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from dmlib.book.exercises import draw
from dmlib.book.exercises.exercise import Function, Mistake

Cases = list[tuple[Any, ...]]
LENGTH = 6  # tokens of the exercises' captions


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1) @ v


def _attend_cases(generator: Generator) -> Cases:
    """Other numbers of pixels and words, and values of another width than the keys."""
    return [
        (
            2 * draw.normal(2, M, D, generator=generator),
            draw.normal(2, N, D, generator=generator),
            draw.normal(2, N, E, generator=generator),
        )
        for M, N, D, E in ((5, 3, 4, 2), (3, 4, 9, 5))
    ]


ATTEND = Function(
    id="ex-words-4",
    level="build",
    title="Write attention",
    minutes=8,
    call="attention(q, k, v)",
    cases=_attend_cases,
    reference=_attend,
    forbidden=("scaled_dot_product_attention", "MultiheadAttention"),
    mistakes=(
        Mistake(
            "the scale is missing",
            lambda q, k, v: (q @ k.mT).softmax(-1) @ v,
            "With long queries and keys the softmax turns into a choice of one word.",
        ),
        Mistake(
            "the softmax over the queries",
            lambda q, k, v: (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-2) @ v,
            "For each query the weights of all keys add up to 1: over which axis?",
        ),
        Mistake(
            "divided by D instead of its root",
            lambda q, k, v: (q @ k.mT / q.shape[-1]).softmax(-1) @ v,
            "It is the variance of the score that grows like D.",
        ),
        Mistake(
            "divided after the softmax",
            lambda q, k, v: (q @ k.mT).softmax(-1) / math.sqrt(q.shape[-1]) @ v,
            "Then the weights no longer add up to 1, and the softmax is as sharp as before.",
        ),
        Mistake(
            "the root of the number of words in place of that of D",
            lambda q, k, v: (q @ k.mT / math.sqrt(k.shape[-2])).softmax(-1) @ v,
            "The score is a sum over the D entries of a query. How many words there are is another "
            "matter.",
        ),
        Mistake(
            "the softmax over the batch",
            lambda q, k, v: (q @ k.mT / math.sqrt(q.shape[-1])).softmax(0) @ v,
            "Pictures of one batch have nothing to do with each other.",
        ),
    ),
)


def _mask(scores: Tensor, tokens: Tensor) -> Tensor:
    return scores.masked_fill((tokens == 0)[:, None, :], -math.inf).softmax(-1)


def _captions(generator: Generator) -> Tensor:
    """(3, 6) int64: a start, one to five words, then padding; the lengths differ."""
    words = torch.randint(2, 9, (3, LENGTH), generator=generator)
    words[:, 0] = 1
    lengths = torch.tensor([2, draw.integer(3, 4, generator=generator), LENGTH])
    return words * (torch.arange(LENGTH) < lengths[:, None])


def _mask_cases(generator: Generator) -> Cases:
    return [
        (draw.normal(3, M, LENGTH, generator=generator) - 1.0, _captions(generator)) for M in (4, 2)
    ]


MASK = Function(
    id="ex-words-5",
    level="build",
    title="Mask the padding",
    minutes=8,
    call="masked_weights(scores, tokens)",
    cases=_mask_cases,
    reference=_mask,
    mistakes=(
        Mistake(
            "no mask: the padding is looked at",
            lambda s, tokens: s.softmax(-1),
            "The token 0 says nothing, and must get the weight 0.",
        ),
        Mistake(
            "the padding's score is 0",
            lambda s, tokens: s.masked_fill((tokens == 0)[:, None, :], 0.0).softmax(-1),
            "exp(0) = 1 is a good weight. Which score has the exponential 0?",
        ),
        Mistake(
            "masked after the softmax, so that the weights no longer add up to 1",
            lambda s, tokens: s.softmax(-1) * (tokens != 0)[:, None, :],
            "The padding has taken its part of the sum already.",
        ),
        Mistake(
            "the words are masked, and the padding is kept",
            lambda s, tokens: s.masked_fill((tokens != 0)[:, None, :], -1e9).softmax(-1),
            "Padding is the token 0.",
        ),
        Mistake(
            "the start is masked, too",
            lambda s, tokens: s.masked_fill((tokens <= 1)[:, None, :], -1e9).softmax(-1),
            "The start (1) is a token like others; in the empty caption it is the only one.",
        ),
        Mistake(
            "the softmax over the pixels",
            lambda s, tokens: (
                s.masked_fill((tokens == 0)[:, None, :], -math.inf).softmax(1).nan_to_num()
            ),
            "For each pixel the weights of all words add up to 1.",
        ),
    ),
)


def _empty(tokens: Tensor) -> Tensor:
    return (torch.arange(tokens.shape[1]) == 0).long().expand_as(tokens)


def _drop(tokens: Tensor, u: Tensor, p: float) -> Tensor:
    return torch.where(u[:, None] < p, _empty(tokens), tokens)


def _drop_cases(generator: Generator) -> Cases:
    """Some captions are dropped and some are not, once the first and once not."""
    cases = []
    for p, order in ((draw.uniform(0.1, 0.3, generator=generator), (0, 1, 2)), (0.4, (2, 0, 1))):
        u = torch.tensor([0.5 * p, 0.5 + 0.5 * p, 1 - 0.4 * p], dtype=torch.float64)
        cases.append((_captions(generator), u[list(order)], p))
    return cases


DROP = Function(
    id="ex-words-6",
    level="build",
    title="Drop captions",
    minutes=8,
    call="dropped(tokens, u, p)",
    cases=_drop_cases,
    reference=_drop,
    mistakes=(
        Mistake(
            "the start is dropped, too: nothing is left to look at",
            lambda tokens, u, p: torch.where(u[:, None] < p, 0, tokens),
            "What does a softmax over no words give? The empty caption is the start alone.",
        ),
        Mistake(
            "dropped with the probability 1 - p",
            lambda tokens, u, p: torch.where(u[:, None] > p, _empty(tokens), tokens),
            "u is uniform: which share of it lies below p?",
        ),
        Mistake(
            "all captions or none: one number for the whole batch",
            lambda tokens, u, p: _empty(tokens) if bool(u[0] < p) else tokens,
            "u holds a number for each caption.",
        ),
        Mistake(
            "the whole batch is dropped as soon as one is",
            lambda tokens, u, p: _empty(tokens) if bool((u < p).any()) else tokens,
            "Only the captions whose own u is below p are dropped.",
        ),
        Mistake(
            "the last word stays, all others go",
            lambda tokens, u, p: torch.where(
                (u[:, None] < p) & (torch.arange(tokens.shape[1]) > 0) & (tokens > 1), 2, tokens
            ),
            "The padding is the token 0.",
        ),
        Mistake(
            "nothing is dropped",
            lambda tokens, u, p: tokens,
            "Where u < p the empty caption stands in place of the caption.",
        ),
    ),
)


def _negative(eps_told: Tensor, eps_against: Tensor, w: float) -> Tensor:
    return eps_against + w * (eps_told - eps_against)


def _negative_cases(generator: Generator) -> Cases:
    return [
        (draw.normal(3, 2, generator=generator), draw.normal(3, 2, generator=generator), w)
        for w in (
            draw.uniform(1.5, 2.5, generator=generator),
            draw.uniform(3.0, 6.0, generator=generator),
        )
    ]


NEGATIVE = Function(
    id="ex-words-8",
    level="build",
    title="Away from a word",
    minutes=6,
    call="steered(eps_told, eps_against, w)",
    cases=_negative_cases,
    reference=_negative,
    mistakes=(
        Mistake(
            "the negative prompt is subtracted from the caption, with its full weight",
            lambda told, against, w: told - w * against,
            "The two weights must add up to 1, or the noise gets another size.",
        ),
        Mistake(
            "the difference is added to the caption's answer",
            lambda told, against, w: told + w * (told - against),
            "At w = 1 plain conditioning must come out: start from the negative prompt. The "
            "paper's w is our w - 1.",
        ),
        Mistake(
            "caption and negative prompt are exchanged",
            lambda told, against, w: told + w * (against - told),
            "That leads to what is not wanted.",
        ),
        Mistake(
            "plain conditioning: the negative prompt is not heard",
            lambda told, against, w: told,
            "With w > 1 the answer lies beyond the caption's, seen from the negative prompt.",
        ),
    ),
)
