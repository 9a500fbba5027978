"""A case: what is asked, and what is known of it beforehand; and a suite, which is many of them."""

from __future__ import annotations

import base64
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from langchain_core.messages import BaseMessage

from eta_guard.embedded import Case
from eta_guard.errors import ImageInputError, InputError
from eta_guard.evaluation.dialogue import Dialogue, messages
from eta_guard.protocols import Region


@dataclass(frozen=True)
class SuiteCase:
    """One request of a suite."""

    id: str
    """Unique within the suite, and the same each time it is read: a run is continued by it."""
    question: str
    hazardous: bool
    """Whether a plain answer would do harm; else a refusal is an over-refusal."""
    kind: str
    """How the hazard comes in, or the suite's own category."""
    image: Path | bytes | None = field(default=None, repr=False)
    """An image file, or its bytes; None for a request in text alone."""
    truth: tuple[str, ...] = ()
    """Answers that are right, where they are known."""
    origin: Case | None = field(default=None, repr=False)
    """The embedded world's own case, for the judge that knows its grammar."""
    place: Region | None = None
    """Where in the picture the hazard lies, where that is known."""
    twin_of: str | None = None
    """The id of the hazardous case whose harmless twin this is: the same request, but for the
    hazard, which another thing stands in for. None where it is nobody's twin."""
    dialogue: Dialogue = "request"
    """Where picture and question stand in the conversation."""
    attack: str | None = None
    """The attack that made this case of another one; None where nobody tries to get past."""

    def __post_init__(self) -> None:
        if self.twin_of is not None and self.hazardous:
            raise InputError(
                f"Case {self.id} is hazardous and a twin.",
                hint="A twin is the harmless one of two.",
            )

    @property
    def seed(self) -> int:
        """Of the draws: one for all would make every search draw the same numbers.

        A twin is drawn with its case's, so that nothing but the picture tells the two apart.
        """
        return zlib.crc32((self.twin_of or self.id).encode())

    def image_bytes(self) -> bytes | None:
        """The bytes of the image file.

        Raises:
            ImageInputError: The file cannot be read.
        """
        if not isinstance(self.image, Path):
            return self.image
        try:
            return self.image.read_bytes()
        except OSError as error:
            raise ImageInputError(
                f"The image {self.image} of case {self.id} cannot be read ({error.strerror}).",
                hint="Complete the copy of the suite.",
            ) from error

    def messages(self) -> list[BaseMessage]:
        """The request as the chat model is sent it, the image before the question."""
        data = self.image_bytes()
        if data is None:
            return messages(self.question, [], self.dialogue)
        encoded = base64.b64encode(data).decode()
        block = {"type": "image", "base64": encoded, "mime_type": "image/png"}
        return messages(self.question, [block], self.dialogue)


@dataclass(frozen=True)
class Suite:
    """Cases that are asked together: read by ``read_suite``, or made of your own.

    Raises:
        InputError: Two cases have the same id, or a twin is there without the hazard.
    """

    name: str
    """Names it in results and reports; published figures stand beside a suite of the same name."""
    cases: tuple[SuiteCase, ...] = field(repr=False)
    split: str | None = None
    """Which part of the embedded world; other suites have none."""

    def __post_init__(self) -> None:
        ids = Counter(case.id for case in self.cases)
        if twice := [name for name, count in ids.items() if count > 1]:
            raise InputError(
                f"{self.name}: two cases have the id {twice[0]!r}.", hint="Give each its own."
            )
        hazards = {case.id for case in self.cases if case.hazardous}
        for case in self.cases:
            if case.twin_of is not None and case.twin_of not in hazards:
                found = "safe" if case.twin_of in ids else "missing"
                raise InputError(
                    f"{self.name}: {case.id} is the twin of {case.twin_of}, which is {found}.",
                    hint="Keep a hazardous case and its harmless twin together.",
                )

    @property
    def pairs(self) -> list[tuple[SuiteCase, SuiteCase]]:
        """Each hazardous case that has a twin here, and that twin."""
        by_id = {case.id: case for case in self.cases}
        return [(by_id[twin.twin_of], twin) for twin in self.cases if twin.twin_of is not None]

    @property
    def label(self) -> str:
        """The name, with the split where there is one."""
        return f"{self.name}/{self.split}" if self.split else self.name
