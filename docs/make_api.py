"""The code in, docs/api.md out: signatures and docstrings of what a program would call.

python docs/make_api.py [FILE]
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "api.md"
HEADING = """\
# API

Made from the code by `python docs/make_api.py`. It is an application, not a library: what is listed
here is what its own commands call, and may change between versions. How it hangs together:
[architecture.md](architecture.md). Shapes stand in the types: `Float32[np.ndarray, " events"]` is a
number an event.
"""
LISTED = {
    "Logs to sessions": {
        "pipeline/ingest/ingest.py": ["ingest_logs"],
        "pipeline/ingest/parse.py": ["parse_logs"],
        "pipeline/storage/store.py": ["load_sessions", "read_sessions"],
        "pipeline/sessions/sessions.py": ["Sessions", "concatenate_sessions"],
        "pipeline/sessions/labels.py": ["read_labels"],
    },
    "Sessions to windows, prints and pictures": {
        "pipeline/config.py": ["WindowConfig", "ResampleConfig"],
        "pipeline/sessions/resample.py": ["resample"],
        "pipeline/sessions/windows.py": ["cut_windows", "pad_windows"],
        "rasterize/panels.py": ["Panel", "find_panels"],
        "rasterize/draw.py": ["draw_counts", "density"],
        "rasterize/canvas.py": ["Canvas"],
        "rasterize/picture.py": ["draw_pictures", "contact_sheet", "draw_overlays"],
        "rasterize/print_picture.py": ["SessionPrint", "print_sheet"],
        "model/prints.py": ["Prints", "session_prints"],
    },
    "Training and scoring": {
        "flows/jobs/train.py": ["train"],
        "flows/jobs/enroll.py": ["enroll"],
        "flows/jobs/score.py": ["score"],
        "model/run.py": ["TrainedModel", "load_model"],
        "model/score.py": ["score_sessions"],
    },
    "Why": {
        "pipeline/reasons/reference.py": ["read_reference_ranges", "fit_reference_ranges"],
        "pipeline/reasons/find.py": ["find_reasons"],
        "pipeline/reasons/account.py": ["measure_constancy"],
        "pipeline/reasons/codes.py": ["Code"],
        "model/attribution.py": ["Attribution", "attribute"],
        "model/print_reasons.py": ["print_reasons"],
    },
    "Bots, figures, reports": {
        "pipeline/simulate/synthetic.py": ["simulate_sessions"],
        "flows/jobs/evaluate.py": ["evaluate_scores"],
        "flows/jobs/audit.py": ["audit_stores"],
        "flows/jobs/report.py": ["report"],
        "flows/jobs/draw.py": ["draw"],
        "flows/jobs/draw_print.py": ["draw_print"],
    },
    "Errors": {"pipeline/errors.py": ["PointerprintError", "did_you_mean"]},
}


def api_page() -> str:
    """Return the whole page."""
    parts = [HEADING]
    for heading, modules in LISTED.items():
        parts.append(f"## {heading}\n")
        for module, names in modules.items():
            source = (ROOT / module).read_text()
            found = {node.name: node for node in ast.parse(source).body if hasattr(node, "name")}
            parts += [_entry(module, source, found[name]) for name in names]
    return "\n".join(parts)


def _entry(module: str, source: str, node: ast.FunctionDef | ast.ClassDef) -> str:
    """Return one name's heading, signature or fields, and docstring."""
    imported = module.removesuffix(".py").replace("/", ".")
    shown = _signature(node) if isinstance(node, ast.FunctionDef) else _fields(source, node)
    return (
        f"### {node.name} ({imported})\n\n```text\nfrom {imported} import {node.name}\n\n"
        f"{shown}\n```\n\n{ast.get_docstring(node)}\n"
    )


def _signature(node: ast.FunctionDef) -> str:
    """Return the signature, an argument a line where they don't fit one."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
    words = list(map(_argument, positional, defaults))
    if arguments.kwonlyargs:
        words += ["*", *map(_argument, arguments.kwonlyargs, arguments.kw_defaults)]
    returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    one_line = f"def {node.name}({', '.join(words)}){returned}"
    if len(one_line) <= 100:
        return one_line
    return f"def {node.name}(\n    " + ",\n    ".join(words) + f",\n){returned}"


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    text = argument.arg
    if argument.annotation is not None:
        text += f": {ast.unparse(argument.annotation)}"
    return text if default is None else f"{text} = {ast.unparse(default)}"


def _fields(source: str, node: ast.ClassDef) -> str:
    """Return the class with its fields and what stands behind them, then its methods' names."""
    bases = f"({', '.join(map(ast.unparse, node.bases))})" if node.bases else ""
    lines = [f"class {node.name}{bases}:"]
    text = source.splitlines()
    for part in node.body:
        if isinstance(part, ast.AnnAssign):
            lines += [re.sub(r"\s+$", "", text[i]) for i in range(part.lineno - 1, part.end_lineno)]
        elif isinstance(part, ast.FunctionDef) and not part.name.startswith("_"):
            words = ", ".join(a.arg for a in part.args.args if a.arg not in ("self", "cls"))
            is_property = any("property" in ast.unparse(name) for name in part.decorator_list)
            called = part.name if is_property else f"{part.name}({words})"
            lines.append(f"    {called}  # {_first(part)}")
    return "\n".join(lines if len(lines) > 1 else [*lines, "    ..."])


def _first(node: ast.FunctionDef) -> str:
    return (ast.get_docstring(node) or "").partition("\n")[0].rstrip(".")


if __name__ == "__main__":
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    page.write_text(api_page())
    print(page)
