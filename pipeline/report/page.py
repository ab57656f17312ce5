"""What a report shows in, HTML out: one file that runs without a network and without a server.

Everything that comes from a log is data in a block of JSON, which no browser runs; the page's
script puts it on the screen as text. The content security policy allows the one style and the
one script that are named by their hash, pictures that are in the file, and nothing else.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

SCRIPTS: Final = (
    "text.js",
    "draw.js",
    "charts.js",
    "verdicts.js",
    "queue.js",
    "print.js",
    "choice.js",
    "case.js",
    "main.js",
)


def page_html(report: Mapping[str, Any], blocks: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a page: `report` is what stands on top and in the queue, `blocks` the rest by name.

    A block stays text until its case is opened: a page of a thousand cases opens at once.
    """
    texts = [_json_block(name, content) for name, content in {"report": report, **blocks}.items()]
    style, script = _template("page.css"), "\n".join(map(_template, SCRIPTS))
    slots = {
        "policy": content_policy(style, script),
        "style": style,
        "script": script,
        "blocks": "\n".join(texts),
    }
    before, *rest = _template("page.html").split("{{")
    parts = [before]
    for piece in rest:  # not one replacement after another: what a log says is never a slot
        name, _, after = piece.partition("}}")
        parts += [slots[name], after]
    return "".join(parts)


def content_policy(style: str, script: str) -> str:
    """Return what the browser may do with the page: not one thing that it doesn't need."""
    return "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _json_block(name: str, content: Mapping[str, Any]) -> str:
    """Return a block that is data to the browser; no `<` in it, so nothing can end it early."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _template(name: str) -> str:
    return resources.files("pipeline.report").joinpath(name).read_text(encoding="utf-8")
