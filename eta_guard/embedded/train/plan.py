"""Which models are trained in what order, and how the time is divided among them."""

from __future__ import annotations

from pathlib import Path

import torch

from eta_guard.embedded.train.chat import build_chat, save_chat, train_chat
from eta_guard.embedded.train.clip import build_clip, save_clip, train_clip
from eta_guard.embedded.train.guard import build_guard, save_guard, train_guard
from eta_guard.embedded.train.loop import Limits, load_checkpoint
from eta_guard.embedded.train.pictures import PicturePool
from eta_guard.embedded.train.reward import build_reward, save_reward, train_reward
from eta_guard.embedded.train.vision import train_vision

STAGES = ("clip", "reward", "chat", "guard")

# Reading comes late and then quickly, so the vision tower has the most time (two stages).
_SHARES = {"vision": 0.24, "clip": 0.26, "reward": 0.27, "chat": 0.23, "guard": 0.12}
_SMOKE_STEPS = 3
_POOL = 40_000
_CHAT_POOL = 12_000
_SMOKE_POOL = 200


def train(
    wanted: tuple[str, ...], out: Path, *, seed: int, minutes: float, resume: bool, smoke: bool
) -> None:
    """Train models and write them to `out`, one folder each.

    Args:
        wanted: Which of `STAGES`. The chat model starts from CLIP's vision tower, so alone it
            needs CLIP's checkpoint in `out`.
        out: Folder for the weights; checkpoints go to `checkpoints` in it.
        seed: Decides initial weights and batches.
        minutes: Time for the three models of a guard; each has a fixed share of it. The guard
            model, which came later, has a share on top, so that the others keep theirs.
        resume: Go on from checkpoints. Finished stages are only loaded.
        smoke: Take a few steps each on a few pictures, to see that everything runs.
    """
    torch.set_num_threads(1)  # On shared cores one thread trains faster than two.
    checkpoints = out / "checkpoints"

    def limits(stage: str) -> Limits:
        return Limits(60 * minutes * _SHARES[stage], _SMOKE_STEPS if smoke else None)

    def pool(size: int, stream: int) -> PicturePool:
        drawn = PicturePool(_SMOKE_POOL if smoke else size, stream)
        drawn.render(_SMOKE_POOL)
        return drawn

    clip = build_clip(seed=seed)
    if "clip" in wanted:
        pictures = pool(_POOL, 2 * seed)
        train_vision(clip, pictures, limits("vision"), checkpoints, seed=seed, resume=resume)
        train_clip(clip, pictures, limits("clip"), checkpoints, seed=seed, resume=resume)
        save_clip(clip, out / "clip")
    if "reward" in wanted:
        reward = build_reward(seed=seed)
        train_reward(reward, limits("reward"), checkpoints, seed=seed, resume=resume)
        save_reward(reward, out / "reward")
    if "chat" in wanted:
        load_checkpoint(clip, checkpoints / "clip.pt")
        chat = build_chat(clip, seed=seed)
        # The tower has not been trained on these: it shall see them as it will see new ones.
        pictures = pool(_CHAT_POOL, 2 * seed + 1)
        pictures.render(0 if smoke else _CHAT_POOL - len(pictures))
        train_chat(chat, pictures, limits("chat"), checkpoints, seed=seed, resume=resume)
        save_chat(chat, out / "chat")
    if "guard" in wanted:
        guard = build_guard(seed=seed)
        train_guard(guard, limits("guard"), checkpoints, seed=seed, resume=resume)
        save_guard(guard, out / "guard")
