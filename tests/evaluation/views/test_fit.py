from __future__ import annotations

from random import Random

import pytest

from eta_guard.errors import InputError
from eta_guard.evaluation.views.fit import fit
from eta_guard.evaluation.views.rules import PictureScores, Rules
from eta_guard.view_names import ViewName

KINDS: tuple[ViewName, ...] = ("whole", "turned", "mirrored")
THRESHOLD = 0.16


def pictures(seed: int, count: int, *, hazardous: bool = False) -> list[PictureScores]:
    """Safe ones score low as they are, and now and then higher turned; hazards high turned."""
    rng = Random(seed)

    def one() -> PictureScores:
        turned = tuple(rng.gauss(0.05, 0.06) for _ in range(3))
        if hazardous:
            turned = (*turned[:2], rng.gauss(0.30, 0.03))
        mirrored = (rng.gauss(0.02, 0.05),)
        published = rng.gauss(0.06 if hazardous else 0.01, 0.03)
        return PictureScores(published, {"turned": turned, "mirrored": mirrored}, published)

    return [one() for _ in range(count)]


SAFE, HIDDEN = pictures(1, 1000), pictures(2, 200, hazardous=True)


def alarms(rules: Rules, safe: list[PictureScores]) -> float:
    return sum(map(rules.flags, safe)) / len(safe)


@pytest.mark.parametrize("more", [0.0, 0.01, 0.05])
def test_alarms_keep_to_their_share_and_hazards_are_found(more: float) -> None:
    rules = fit(SAFE, [], HIDDEN, threshold=THRESHOLD, kinds=KINDS, more_alarms=more)
    before = alarms(Rules((), rules.clear, {}, THRESHOLD), SAFE)
    assert before <= alarms(rules, SAFE) <= before + more
    assert alarms(rules, HIDDEN) > 0.5
    fresh = pictures(3, 1000)
    spread = 3 * (max(more, 0.005) / 1000) ** 0.5
    assert alarms(rules, fresh) <= alarms(Rules((), rules.clear, {}, THRESHOLD), fresh) + (
        more + spread
    )


@pytest.mark.parametrize("encodes", [1.0, 1.5, 2.0, 10.0])
def test_usual_pictures_keep_to_the_encodes(encodes: float) -> None:
    further = [PictureScores(0.15, {"turned": (0.1,) * 3}, 0.15) for _ in range(50)]
    rules = fit(SAFE, further, HIDDEN, threshold=THRESHOLD, kinds=KINDS, encodes=encodes)
    spent = sum(map(rules.encodes, SAFE)) / len(SAFE)
    assert spent <= encodes
    assert spent > min(encodes, 5.0) - 0.05


def test_offsets_are_no_lower_than_nothing() -> None:
    rules = fit(SAFE, [], HIDDEN, threshold=THRESHOLD, kinds=KINDS, more_alarms=1.0)
    assert min(rules.offsets.values()) >= 0


def test_a_view_that_no_picture_has_gets_no_offset() -> None:
    rules = fit(SAFE, [], HIDDEN, threshold=THRESHOLD, kinds=(*KINDS, "panels"))
    assert rules.offsets.keys() == {"turned", "mirrored"}


def test_there_must_be_pictures_of_both_kinds() -> None:
    for safe, hidden in (([], HIDDEN), (SAFE, [])):
        with pytest.raises(InputError, match="safe pictures"):
            fit(safe, [], hidden, threshold=THRESHOLD, kinds=KINDS)
