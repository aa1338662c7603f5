"""Sections and trajectories -> one HTML page that needs nothing else.

No script, no link, no picture from elsewhere: the page's own policy (CSP) allows one style
sheet by its hash and nothing more. Whatever comes out of a run is text: characters that act
unseen are written out, long texts cut, and then HTML is escaped.

Crash rule: pure.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from trajgen.review.notebook import STYLE, fragment
from trajgen.review.reading import one_line
from trajgen.review.report.blocks import Section
from trajgen.review.report.samples import Sample

FOLDER = Path(__file__).parent
LONGEST = 600  # characters of a name or a sentence
HEAVY = 600_000  # characters of a trajectory's HTML


def page(
    context: Mapping[str, Any], sections: Sequence[Section], samples: Mapping[str, Sequence[Sample]]
) -> str:
    """The page. `context` has name, run_id, state, headline, notices, tiles and version;
    `samples` are kept and rejected ones."""
    style = STYLE.removeprefix("<style>").removesuffix("</style>")
    style += (FOLDER / "style.css").read_text("utf-8")
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            **context,
            sections=sections,
            style=style,
            policy=policy(style),
            shown={name: [_shown(sample) for sample in found] for name, found in samples.items()},
        )
    )


def policy(style: str) -> str:
    """What the page may load: this style sheet."""
    sha256 = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{sha256}'; base-uri 'none'; form-action 'none'"


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_tame,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _tame(value: Any) -> Any:
    """What is put out anywhere on the page, before it is escaped: on one line, nothing unseen,
    not endless. HTML of ours has a method to say so and stays."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    left = len(value) - LONGEST
    return (
        f"{one_line(value[:LONGEST])}… [{left:,} more characters]" if left > 0 else one_line(value)
    )


def _shown(sample: Sample) -> dict[str, str]:
    """A sample with the same view as in a notebook; `html` is empty where that is too long."""
    html = fragment(sample.trajectory)
    return {
        "words": sample.words,
        "html": html if len(html) <= HEAVY else "",
        "id": sample.trajectory.id,
    }
